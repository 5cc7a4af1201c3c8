"""Parse the records of pax headers.

Sources: POSIX.1-2017, utility pax, "pax Extended Header"; the manual of GNU tar, "Storing Sparse Files".
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from imageport import UnsupportedFormat
from imageport_builtin.unpacking.members import printable
from imageport_builtin.unpacking.tar_header import Damage
from imageport_builtin.unpacking.tar_sparse import Sparse, SparseMap, check_entries, decimal

_LENGTH = re.compile(rb"[0-9]{1,10} ")
_SPARSE = b"GNU.sparse."
_PIECE = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
#: Records that change where contents are, in ways that only their makers know.
_FOREIGN = {
    b"SUN.holesdata": "a sparse file in the format of Solaris",
    b"SCHILY.realsize": "a sparse file in the format of star",
    b"GNU.volume.offset": "one volume of several",
}


@dataclass(frozen=True, slots=True)
class Records:
    """The records that name a file and place its contents; None where the header itself decides."""

    path: bytes | None = None
    size: int | None = None
    sparse: Sparse | None = None


def parse_records(text: bytes) -> Records:
    """Return the fields of the records *text*, which describe the file that follows.

    Raises ``Damage``, ``UnsupportedFormat``, and ``LimitExceeded`` for the map of a sparse file.
    """
    found: dict[bytes, bytes] = {}
    pieces = array("Q")
    for keyword, start, end in _records(text):
        if keyword == _PIECE[len(pieces) % 2]:
            pieces.append(decimal(text[start:end]))
        elif keyword in found or keyword in _PIECE:
            raise Damage(f"its record {printable(keyword.decode(errors='replace'))} is out of place")
        elif keyword in (b"path", b"size") or keyword.startswith(_SPARSE):
            found[keyword] = text[start:end]
        elif keyword in _FOREIGN:
            raise UnsupportedFormat(
                f"tar: the archive holds {_FOREIGN[keyword]}, which cannot be unpacked here",
                hint="unpack it with the program that made it, and import the result",
            )
    size = found.pop(b"size", None)
    path = found.pop(b"path", None)
    sparse = {
        keyword.removeprefix(_SPARSE).decode(errors="replace"): value for keyword, value in found.items()
    }
    return Records(
        sparse.get("name", path),
        None if size is None else decimal(size),
        _sparse(sparse, pieces) if sparse or pieces else None,
    )


def check_global_records(text: bytes) -> None:
    """Raise ``Damage`` when a global header places contents: GNU tar obeys, bsdtar does not."""
    for keyword, _, _ in _records(text):
        if keyword == b"size" or keyword.startswith(_SPARSE):
            raise Damage("it sets the size of all files")


def _records(text: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield keyword, start and end of value of each record: "length keyword=value" and a line feed."""
    position = 0
    while position < len(text):
        length = _LENGTH.match(text, position)
        end = position + int(length[0]) if length else 0
        start = text.find(b"=", length.end(), end) + 1 if length else 0
        if not length or not start or end > len(text) or text[end - 1] != ord("\n"):
            raise Damage("its records are malformed")
        keyword = text[length.end() : start - 1]
        if b"\0" in keyword:
            raise Damage("its records are malformed")
        yield keyword, start, end - 1
        position = end


def _sparse(records: Mapping[str, bytes], pieces: array[int]) -> Sparse:
    """Return the sparse file that the records GNU.sparse.* describe, in any of the three versions."""
    version = (records.get("major", b"0"), records.get("minor"))
    if version == (b"1", b"0"):
        if "realsize" not in records or pieces or records.keys() & {"size", "numblocks", "map"}:
            raise Damage("its records of a sparse file contradict each other")
        return Sparse(decimal(records["realsize"]), None)
    if version[0] != b"0" or version[1] not in (None, b"0", b"1"):
        raise UnsupportedFormat(
            "tar: the archive holds a sparse file in a later version of the format than 1.0",
            hint="unpack it with the program that made it, and import the result",
        )
    if "realsize" in records or ("map" in records) == bool(pieces):
        raise Damage("its records of a sparse file contradict each other")
    sparse_map = SparseMap(pieces or _numbers(records["map"]))
    if not {"size", "numblocks"} <= records.keys():
        raise Damage("its records of a sparse file are not complete")
    if len(sparse_map) != decimal(records["numblocks"]):
        raise Damage("the map of the sparse file has another number of entries than announced")
    return Sparse(decimal(records["size"]), sparse_map)


def _numbers(text: bytes) -> Iterator[int]:
    """Yield the numbers between commas; a list of them all would take many times the memory."""
    check_entries((text.count(b",") + 1) // 2)
    start = 0
    while (end := text.find(b",", start)) >= 0:
        yield decimal(text[start:end])
        start = end + 1
    yield decimal(text[start:])
