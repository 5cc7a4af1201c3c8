"""The names of files in checksum lists: which of them mean the same file, and which are near."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import unquote

from imageport_builtin.checksum_notations import Entry

#: Suffixes of packed files.
_PACKED: Final = (
    ".gz",
    ".xz",
    ".bz2",
    ".zst",
    ".lzma",
    ".zip",
    ".7z",
    ".lzh",
    ".lha",
    ".tar",
    ".tgz",
    ".txz",
    ".Z",
)

#: Names that are compared with one that is not in a list; each takes time.
_MOST_COMPARED: Final = 50


def is_packed(name: str | None) -> bool:
    """Return whether a file called *name* is an archive or compressed, by its suffix."""
    return (name or "").lower().endswith(tuple(map(str.lower, _PACKED)))


def unpacked_name(name: str) -> str:
    """Return *name* without the suffixes of archives and compression."""
    while is_packed(name):
        name = name.rpartition(".")[0]
    return name


def entries_about(filename: str, beside: str | None, named: Sequence[Entry]) -> list[Entry]:
    """Return the entries of *named* that are about *filename*, by the most exact comparison that finds any."""
    wanted = PurePosixPath(filename)
    ours = PurePosixPath(beside or "")
    # On BSD, a backslash in a name is written as it is.
    if "\\" in filename and (exact := [entry for entry in named if entry.name == filename]):
        return exact
    for spelling in (_path, loose_path, _decoded_path):
        paths = [(entry, spelling(entry)) for entry in named]
        for target in (ours if ends_with(ours, wanted) else wanted, wanted):
            if found := [entry for entry, path in paths if path == target]:
                return found
        if found := [entry for entry, path in paths if ends_with(path, wanted)]:
            return found
    return []


def _path(entry: Entry) -> PurePosixPath:
    """Return the path of *entry*. GNU tools escape backslashes; unescaped ones separate folders."""
    name = entry.name or ""
    return PurePosixPath(name if entry.escaped else name.replace("\\", "/"))


def loose_path(entry: Entry) -> PurePosixPath:
    """Return the path of *entry* without the blanks around it, by which some lists align their columns."""
    return PurePosixPath(str(_path(entry)).strip(" \t"))


def _decoded_path(entry: Entry) -> PurePosixPath:
    return PurePosixPath(unquote(str(loose_path(entry))))


def last_part(name: str) -> str:
    """Return the last part of the path *name*, with separators of Linux or of Windows."""
    return PurePosixPath(name.replace("\\", "/")).name


def ends_with(path: PurePosixPath, end: PurePosixPath) -> bool:
    """Return whether the last parts of *path* are those of *end*."""
    return bool(end.parts) and path.parts[-len(end.parts) :] == end.parts


def nearest(filename: str, names: Iterable[str]) -> list[str]:
    """Return the three of *names* that are most similar to *filename*."""

    def common(name: str) -> int:
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(name, filename, strict=False)))

    compared = sorted(names, key=common, reverse=True)[:_MOST_COMPARED]
    return difflib.get_close_matches(filename[:255], [name[:255] for name in compared], n=3, cutoff=0)
