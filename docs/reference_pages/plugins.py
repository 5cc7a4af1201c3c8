"""The pages about built-in plugins."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from imageport.plugins.about import about
from imageport.plugins.registry import InstalledPlugin
from imageport.values import StoreCapabilities
from reference_pages.files import options_table
from reference_pages.writing import fenced, markdown, required, table

#: The capabilities of a store that declares none.
_USUAL = StoreCapabilities().as_dict()


def plugin_index_page(plugins: Sequence[InstalledPlugin]) -> Iterator[str]:
    """List the built-in plugins."""
    yield "# Plugins that come with Imageport"
    rows = []
    for plugin in plugins:
        description = about(plugin)
        rows.append(
            (
                f"[`{plugin.name}`]({plugin.name}.md)",
                ", ".join(description["hooks"]),
                markdown(description["summary"]),
            )
        )
    yield table(("plugin", "hooks", "what it does"), rows)
    yield "`imageport plugins list` shows these and every other plugin that is installed."


def plugin_page(plugin: InstalledPlugin, example: str) -> Iterator[str]:
    """Describe one plugin."""
    description = about(plugin)
    yield f"# {plugin.name}"
    yield markdown(required(description["summary"], f"plugin {plugin.name} has no docstring"))
    yield markdown(description["details"])
    yield "## Example"
    yield fenced("yaml", example)
    yield "## Options"
    yield (
        options_table(description["options"], f"plugin {plugin.name}") if description["options"] else "None."
    )
    yield "## Facts"
    facts = {
        "hooks": description["hooks"],
        "reads": [description["reads"]] if description["reads"] else [],
        "stands below": description["runs_after"],
        "stands above": description["runs_before"],
        "starts from images that are": description["starts_from"],
        "copies the stored bytes": ["yes"] if description["copies"] else [],
        "needs the programs": description["binaries"],
        "capabilities": [
            f"{name}: {value}"
            for name, value in (description["capabilities"] or {}).items()
            if value not in _USUAL
        ],
        "stability": [description["stability"]],
    }
    yield table(
        ("fact", ""),
        [(fact, ", ".join(f"`{value}`" for value in values)) for fact, values in facts.items() if values],
    )
