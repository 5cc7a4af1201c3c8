"""Describe a type of file, and its first bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

#: Bytes that ``identify`` needs; fewer are enough for a shorter file.
HEAD = 64 << 10

#: Bytes 510 and 511 of a disk from which a PC boots.
BOOT_RECORD = b"\x55\xaa"

#: Bytes that the shortest archive has.
_SHORTEST = 17


@dataclass(frozen=True, slots=True)
class FileType:
    """A type of file that cannot be imported as a disk.

    ``description`` completes the sentence "the image is ...", for instance "an lz4 archive". ``hint`` names the
    alternative. ``may_be_raw`` is true when the bytes are stored if a user declares the disk format raw: false for
    formats that a hypervisor probes and that can name other files. ``is_damaged`` means that the type could be imported
    if the file was whole.
    """

    name: str
    kind: Literal["archive", "document", "disk"]
    description: str
    hint: str
    may_be_raw: bool = True
    is_damaged: bool = False


@dataclass(frozen=True, slots=True)
class Signature:
    """A type of file and the test of its first bytes.

    A test needs enough of them that no disk passes it by chance: four bytes that are not machine code, or a header that
    is checked as a whole.
    """

    file_type: FileType
    matches: Callable[[bytes], bool]


def starts(*magics: bytes, at: int = 0) -> Callable[[bytes], bool]:
    """Return the test for files that have one of *magics* at the byte *at*."""
    return lambda head: head.startswith(magics, at)


def nearly(*magics: bytes, at: int = 0) -> Callable[[bytes], bool]:
    """Return the test for files that have one of *magics* at the byte *at*, of which one byte may be damaged.

    A damaged file of another type is not a disk. A disk that has such bytes by chance is known by its boot record.
    """
    exact = starts(*magics, at=at)
    return lambda head: exact(head) or is_damaged(head, *magics, at=at)


def is_damaged(head: bytes, *magics: bytes, at: int = 0) -> bool:
    """Return whether *head* has no boot record, and one of *magics* at the byte *at* but for one wrong byte."""
    if len(head) <= _SHORTEST or head[510:512] == BOOT_RECORD:
        return False
    return any(sum(map(int.__eq__, head[at : at + len(magic)], magic)) == len(magic) - 1 for magic in magics)
