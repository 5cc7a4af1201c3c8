"""Writes the reference pages from the code: ``python docs/generate.py``; with ``--check`` it only compares.

The text of a page comes from the code: docstrings, descriptions of options, help texts. What has none is an error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from reference_pages.command import command_page, exit_code_page
from reference_pages.contract import api_page, hooks_page
from reference_pages.deadlines import deadlines_page
from reference_pages.defects import defects_page
from reference_pages.differences import differences_page
from reference_pages.directory import directory_page
from reference_pages.files import pipeline_page, site_page
from reference_pages.glance import glance_page
from reference_pages.plans import plan_page
from reference_pages.plugins import plugin_index_page, plugin_page
from reference_pages.reports import report_page
from reference_pages.stores import stores_page
from ruamel.yaml import YAML

from imageport.plugins.registry import PluginRegistry

FOLDER = Path(__file__).parent / "reference"
EXAMPLES = FOLDER / "plugins" / "examples.yaml"

#: Pages that a run of tests writes.
FROM_RUNS = frozenset({FOLDER / "import-contract.md"})


def main() -> int:
    """Write the pages, or compare them with those that are there and return 1 when they differ."""
    pages = dict(generated())
    if "--check" not in sys.argv[1:]:
        for path, text in pages.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return 0
    stale = [path for path, text in pages.items() if not path.exists() or path.read_text() != text]
    unknown = set(FOLDER.rglob("*.md")) - set(pages) - FROM_RUNS
    for path in (*stale, *sorted(unknown)):
        print(f"{path.relative_to(FOLDER.parent)}: run python docs/generate.py")
    return 1 if stale or unknown else 0


def generated() -> Iterator[tuple[Path, str]]:
    """Return the path and text of every page."""
    plugins = [
        plugin for plugin in PluginRegistry.installed() if plugin.distribution.startswith("imageport ")
    ]
    pages = {
        "README.md": index_page(),
        "cli.md": command_page(),
        "differences-from-glance.md": differences_page(),
        "exit-codes.md": exit_code_page(),
        "for-glance-operators.md": glance_page(),
        "glance-defects.md": defects_page(),
        "deadlines.md": deadlines_page(),
        "hooks.md": hooks_page(),
        "pipeline-file.md": pipeline_page(),
        "plan.md": plan_page(),
        "plugin-directory.md": directory_page(),
        "plugins/README.md": plugin_index_page(plugins),
        "public-api.md": api_page(),
        "report.md": report_page(),
        "site-file.md": site_page(),
        "stores-on-bases.md": stores_page(),
    }
    examples = YAML(typ="safe").load(EXAMPLES)
    pages |= {f"plugins/{plugin.name}.md": plugin_page(plugin, examples[plugin.name]) for plugin in plugins}
    for name, paragraphs in pages.items():
        origin = "<!-- Written by docs/generate.py: change the code, then run it. -->"
        yield FOLDER / name, "\n\n".join([origin, *filter(None, paragraphs)]).rstrip() + "\n"


def index_page() -> Iterator[str]:
    """List the pages."""
    yield "# Reference"
    yield "Everything here is written from the code or by a run of the tests, and a test compares the two."
    yield "\n".join(
        [
            "* [Commands](cli.md)",
            "* [Exit codes and errors](exit-codes.md)",
            "* [The pipeline file](pipeline-file.md)",
            "* [The site file](site-file.md)",
            "* [The plan](plan.md)",
            "* [The report and the events](report.md)",
            "* [Plugins that come with Imageport](plugins/README.md)",
            "* [Directory of plugins](plugin-directory.md)",
            "* [For Glance operators](for-glance-operators.md)",
            "* [Differences from Glance](differences-from-glance.md)",
            "* [Known defects of Glance](glance-defects.md)",
            "* [Hooks](hooks.md)",
            "* [Deadlines of hooks](deadlines.md)",
            "* [Names that plugins import](public-api.md)",
            "* [Stores on the bases](stores-on-bases.md)",
            "* [The import contract, test by test](import-contract.md)",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
