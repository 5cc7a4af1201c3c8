"""Recognise files that are no disks: archives, documents, and disk formats that cannot be imported.

Only the first bytes decide, never a name. A file that is not recognised here may be a disk.
"""

from __future__ import annotations

import re
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
class _Signature:
    file_type: FileType
    matches: Callable[[bytes], bool]


def _starts(*magics: bytes, at: int = 0) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(magics, at)


def _archive(name: str, description: str, hint: str, matches: Callable[[bytes], bool]) -> _Signature:
    return _Signature(FileType(name, "archive", description, hint), matches)


#: How web pages begin, after the MIME Sniffing Standard (WHATWG), section 7.1.
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?[\t\n\f\r ]*(?:<\?xml[^>]*>\s*)?(?:<!--|(?:<!doctype html|<(?:html|head|script|iframe|h1|div"
    rb"|font|table|a|style|title|b|body|br|p|meta|center))[ >])",
    re.IGNORECASE,
)

_SIGNATURES: tuple[_Signature, ...] = (
    _archive(
        "lz4", "an lz4 archive", "unpack it with 'lz4 -d' and import the result", _starts(b"\x04\x22\x4d\x18")
    ),
    _Signature(
        FileType(
            "html",
            "document",
            "a web page",
            "give the url of the image itself; the page may be a login, an error, or link to the image",
        ),
        lambda head: _PAGE.match(head) is not None,
    ),
)


def identify(head: bytes) -> FileType | None:
    """Return the type of the file that begins with *head*, or None when it may be a disk."""
    for signature in _SIGNATURES:
        if signature.matches(head):
            return signature.file_type
    return None
