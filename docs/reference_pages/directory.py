"""The directory of plugins, from the index that comes with Imageport."""

from __future__ import annotations

import json
from collections.abc import Iterator

from imageport.app.plugin_index import MAX_SIZE, IndexedPlugin
from imageport_kit.search import INDEX
from reference_pages.writing import table


def directory_page() -> Iterator[str]:
    """List the plugins of the index, and describe the form of an index."""
    yield "# Directory of plugins"
    yield "The plugins of the index that comes with Imageport. `imageport plugins search WORD` searches it."
    found = [IndexedPlugin.model_validate(row) for row in json.loads(INDEX.read_text())["plugins"]]
    rows = [
        (f"`{one.name}`", one.package, ", ".join(one.roles), one.stability, one.summary.replace("``", "`"))
        for one in found
    ]
    yield table(("plugin", "package", "roles", "stability", "summary"), rows)
    yield "## An index of your own"
    yield (
        "A site can have another index: `plugins.index` of the [site file](site-file.md) is the absolute path or the "
        f"url of a JSON or YAML file, of at most {MAX_SIZE >> 20} MiB and 5,000 plugins. It is a mapping with "
        "`format: 1` and `plugins`, a list of mappings with these keys; others are left out."
    )
    fields = IndexedPlugin.model_fields.items()
    yield table(
        ("key", ""), [(f"`{name}`", "required" if field.is_required() else "") for name, field in fields]
    )
