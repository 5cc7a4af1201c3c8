"""Describe a type of file, and what its first bytes look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

#: Bytes that ``identify`` needs; fewer are enough for a shorter file.
HEAD = 64 << 10


@dataclass(frozen=True, slots=True)
class FileType:
    """A type of file that is no disk which can be imported as it is.

    ``description`` completes the sentence "the image is ...", for instance "an lz4 archive". ``hint`` says what to
    do instead. ``may_be_raw`` says whether a user who declares the disk format raw gets these bytes stored: false
    for formats that a hypervisor probes and that can name other files.
    """

    name: str
    kind: Literal["archive", "document", "disk"]
    description: str
    hint: str
    may_be_raw: bool = True


@dataclass(frozen=True, slots=True)
class Signature:
    """A type of file and the test of its first bytes.

    A test needs enough of them that no disk passes it by chance: four bytes that are no machine code, or a header that
    is checked as a whole.
    """

    file_type: FileType
    matches: Callable[[bytes], bool]


def starts(*magics: bytes, at: int = 0) -> Callable[[bytes], bool]:
    """Return the test for files that have one of *magics* at the byte *at*."""
    return lambda head: head.startswith(magics, at)
