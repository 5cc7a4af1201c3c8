"""Recognise text and its type: documents that are delivered where a disk was expected."""

from __future__ import annotations

import re
import unicodedata

_SPACES = frozenset(b"\t\n\f\r\x1a\x1b")
_CONTROLS = frozenset(range(32)) - _SPACES | {127}
_ALLOWED = bytes(byte for byte in range(256) if byte not in _CONTROLS)
#: Categories of Unicode that text does not have: controls, surrogates, private use, unassigned.
_NO_TEXT = frozenset({"Cc", "Cs", "Co", "Cn"})
_WIDE = {
    b"\xff\xfe\0\0": "utf-32-le",
    b"\0\0\xfe\xff": "utf-32-be",
    b"\xff\xfe": "utf-16-le",
    b"\xfe\xff": "utf-16-be",
}
_BOMS = (b"\xef\xbb\xbf", *_WIDE)

#: Digests of 128 to 512 bits, in the lengths that there are.
_HEX = (
    rb"(?:[0-9A-Fa-f]{128}|[0-9A-Fa-f]{96}|[0-9A-Fa-f]{64}|[0-9A-Fa-f]{56}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{32})"
)
#: A line of a list of digests: of coreutils, with or without a name, of BSD, of OpenSSL, of Gentoo.
_DIGEST_LINE = re.compile(
    rb"\s*(?:\\?"
    + _HEX
    + rb"(?:[ \t]+[*U]?\S.*)?|[A-Za-z0-9-]{2,12} ?\(.+\) ?= ?"
    + _HEX
    + rb"|DIST \S+ \d+ .*)\s*"
)
_JSON = re.compile(rb'\s*(?:\{\s*(?:"|\})|\[\s*(?:["\[{\]\d-]|true|false|null))')
_XML = re.compile(rb"\s*<(?:\?xml|!--|[A-Za-z_][\w.:-]*[\s/>])")
_COMMENT = re.compile(rb"\s*(?:[#;].*)?")
_VERSION_LINE = re.compile(rb"version=[123]\r?")


def is_text(head: bytes) -> bool:
    """Return whether *head*, the first bytes of a file, is text, in any common encoding.

    Bytes of 8-bit encodings count as text only beside some that are blank: a disk may be filled with one of them.
    """
    if not head:
        return False
    for bom, encoding in _WIDE.items():
        if head.startswith(bom):
            return _is_wide_text(head[len(bom) :], encoding)
    if not head.translate(None, _ALLOWED):
        return head.isascii() or _is_utf8(head) or len(re.findall(rb"\s", head)) * 100 > len(head)
    return any(_is_wide_text(head, encoding) for encoding in _WIDE.values())


def plain(head: bytes) -> bytes:
    """Return text as UTF-8 without a byte order mark, as far as it can be decoded."""
    for bom in _BOMS:
        if head.startswith(bom):
            rest = head[len(bom) :]
            return rest.decode(_WIDE[bom], "replace").encode() if bom in _WIDE else rest
    return head


def is_json(head: bytes) -> bool:
    """Return whether *head* begins as a JSON document does."""
    return re.match(
        rb'\s*(?:\{\s*(?:"|\})|\[\s*(?:["\[{\]\d-]|true|false|null))', plain(head)
    ) is not None and is_text(head)


def is_xml(head: bytes) -> bool:
    """Return whether *head* begins as an XML document does."""
    return _XML.match(plain(head)) is not None and is_text(head)


def is_ovf(head: bytes) -> bool:
    """Return whether *head* begins an OVF descriptor (DSP0243)."""
    return is_xml(head) and re.search(rb"<(?:\w+:)?Envelope[\s>]", plain(head)) is not None


def is_digest_list(head: bytes) -> bool:
    """Return whether *head* begins with a digest of a file; comments may come first."""
    if not is_text(head):
        return False
    lines = [line for line in plain(head).split(b"\n") if not _COMMENT.fullmatch(line)]
    return bool(lines) and _DIGEST_LINE.fullmatch(lines[0]) is not None


def is_vmdk_descriptor(head: bytes) -> bool:
    """Return whether QEMU, or a program of VMware, takes a file that begins with *head* for a VMDK descriptor.

    QEMU looks for a version behind comments; others look for a type.
    """
    text = head.partition(b"\0")[0]
    if text.startswith(b"# Disk DescriptorFile") or b'createtype="' in text.lower():
        return True
    first = next((line for line in text.split(b"\n") if not re.match(rb"\s*(?:#|\r?$)", line)), b"")
    return _VERSION_LINE.fullmatch(first) is not None


def _is_utf8(head: bytes) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if len(head) - error.start > 3:
            return False
        # The last character may be cut off.
        text = head[: error.start].decode()
    return _has_text_only(text)


def _is_wide_text(head: bytes, encoding: str) -> bool:
    unit = 4 if "32" in encoding else 2
    if len(head) < 2 * unit:
        return False
    try:
        text = head[: len(head) // unit * unit].decode(encoding)
    except UnicodeDecodeError as error:
        if len(head) - error.start > 2 * unit:
            return False
        text = head[: error.start].decode(encoding)
    # Other data may decode to rare ideographs in one of these encodings; text has blanks.
    return _has_text_only(text) and sum(map(str.isspace, text)) * 100 > len(text)


def _has_text_only(text: str) -> bool:
    return not any(
        unicodedata.category(character) in _NO_TEXT and character not in "\t\n\f\r\x1a\x1b"
        for character in set(text)
    )
