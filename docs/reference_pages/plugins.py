"""The pages about built-in plugins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from imageport.plugins.about import about
from imageport.plugins.registry import InstalledPlugin
from reference_pages.files import options_table
from reference_pages.writing import fenced, markdown, required, table


def plugin_index_page(plugins: Sequence[InstalledPlugin]) -> Iterator[str]:
    """List the built-in plugins."""
    yield "# Plugins that come with Imageport"
    rows = []
    for plugin in plugins:
        told = about(plugin)
        rows.append(
            (f"[`{plugin.name}`]({plugin.name}.md)", ", ".join(told["hooks"]), markdown(told["summary"]))
        )
    yield table(("plugin", "hooks", "what it does"), rows)
    yield "`imageport plugins list` shows these and every other plugin that is installed."


def plugin_page(plugin: InstalledPlugin, example: str) -> Iterator[str]:
    """Describe one plugin."""
    told = about(plugin)
    yield f"# {plugin.name}"
    yield markdown(required(told["summary"], f"plugin {plugin.name} has no docstring"))
    yield markdown(told["details"])
    yield "## Example"
    yield fenced("yaml", example)
    yield "## Options"
    yield options_table(told["options"], f"plugin {plugin.name}") if told["options"] else "None."
    yield "## Facts"
    facts = {
        "hooks": told["hooks"],
        "reads": [told["reads"]] if told["reads"] else [],
        "stands below": told["runs_after"],
        "stands above": told["runs_before"],
        "starts from images that are": told["starts_from"],
        "copies the stored bytes": ["yes"] if told["copies"] else [],
        "needs the programs": told["binaries"],
        "stability": [told["stability"]],
    }
    yield table(
        ("fact", ""),
        [(fact, ", ".join(f"`{value}`" for value in values)) for fact, values in facts.items() if values],
    )
