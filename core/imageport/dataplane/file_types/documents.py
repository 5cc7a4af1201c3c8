"""Recognise documents that are delivered where a disk was expected."""

from __future__ import annotations

import re
from collections.abc import Callable

from imageport.dataplane.file_types import texts
from imageport.dataplane.file_types.signature import FileType, Signature, starts

#: How web pages begin, after the MIME Sniffing Standard (WHATWG), section 7.1.
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?[\t\n\f\r ]*(?:<\?xml[^>]*>\s*)?(?:<!--|(?:<!doctype html|<(?:html|head|script|iframe|h1|div"
    rb"|font|table|a|style|title|b|body|br|p|meta|center))[ >])",
    re.IGNORECASE,
)

_STORED_AS_RAW = "; to store these bytes as they are, declare --disk-format raw"


def _document(name: str, description: str, hint: str, matches: Callable[[bytes], bool]) -> Signature:
    return Signature(FileType(name, "document", description, hint + _STORED_AS_RAW), matches)


def _is_openpgp_signature(head: bytes) -> bool:
    """Return whether *head* is a binary OpenPGP signature (RFC 9580, sections 4.2 and 5.2), which is small."""
    if len(head) > _LARGEST_SIGNATURE or len(head) < _SMALLEST_SIGNATURE:
        return False
    lengths = {0x88: 2, 0x89: 3, 0xC2: 2 if head[1] < 192 else 3}
    start = lengths.get(head[0])
    return start is not None and head[start] in (3, 4, 5, 6) and head[start + 1] in (0, 1, 2, 5)


_SECTOR = 512
_ARMOURS = (b"-----BEGIN PGP ", b"-----BEGIN SSH SIGNATURE", b"-----BEGIN PKCS7", b"untrusted comment:")
_PICTURES = (b"\x89PNG\r\n\x1a\n", b"GIF8", b"\xff\xd8\xff")
_LARGEST_SIGNATURE = 16 << 10
_SMALLEST_SIGNATURE = 16

DOCUMENTS: tuple[Signature, ...] = (
    _document(
        "lfs-pointer",
        "a pointer of Git LFS, not the file itself",
        "fetch the file with 'git lfs pull'",
        starts(b"version https://git-lfs.github.com/spec/"),
    ),
    _document(
        "signature",
        "a signature",
        "import the file that it signs",
        lambda head: _is_openpgp_signature(head) or starts(*_ARMOURS)(texts.plain(head)),
    ),
    _document("digests", "a list of digests", "import the file that it lists", texts.is_digest_list),
    _document("pdf", "a PDF document", "import the disk itself", starts(b"%PDF-")),
    _document(
        "picture",
        "a picture",
        "import the disk itself",
        starts(*_PICTURES),
    ),
    _document(
        "ovf",
        "an OVF descriptor, a text file that names the disks of a machine",
        "import one of the disks that it names, or the .ova file with --container-format ova",
        texts.is_ovf,
    ),
    Signature(
        FileType(
            "html",
            "document",
            "a web page",
            "give the url of the image itself; the page may be a login, an error, or link to the image",
        ),
        lambda head: _PAGE.match(texts.plain(head)) is not None,
    ),
    _document("xml", "an XML document", "check what the source answers: it may be an error", texts.is_xml),
    _document("json", "a JSON document", "check what the source answers: it may be an error", texts.is_json),
    _document("text", "a text file", "import the disk itself", texts.is_text),
    _document(
        "fragment",
        "less than one sector (512 bytes) long",
        "check the source: this is not a disk",
        lambda head: len(head) < _SECTOR,
    ),
)
