"""The page with the stores that are written on a base, in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from reference_pages.writing import fenced

REPOSITORY: Final = Path(__file__).parents[2]

#: The module of each store, by its base and its name.
STORES: Final[Mapping[str, str]] = {
    "`named_file`, on `FolderStore`": "contrib/imageport-named-files/src/imageport_named_files/store.py",
    "`s3`, on `PartStore`": "contrib/imageport-s3/src/imageport_s3/store.py",
    "`rbd`, on `ExtentStore`": "contrib/imageport-rbd/src/imageport_rbd/store.py",
}


def stores_page() -> Iterator[str]:
    """Print the modules."""
    yield "# Stores on the bases"
    yield (
        "The store modules of the packages in `contrib/`, as they are: with one of the bases of `imageport.stores`, "
        "a store is what differs from the others. [Write a store](../how-to/write-a-store.md) explains how."
    )
    for title, path in STORES.items():
        source = (REPOSITORY / path).read_text()
        count = sum(1 for line in source.splitlines() if line.strip())
        yield f"## {title}"
        yield f"`{path}`: {count} lines, without blank ones."
        yield fenced("python", source.rstrip())
