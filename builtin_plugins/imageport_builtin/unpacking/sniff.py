"""Recognise an archive by its first bytes, and by nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from imageport_builtin.unpacking.lha_header import looks_like_lha
from imageport_builtin.unpacking.tar_header import looks_like_tar

#: Bytes that ``layer_of`` wants to see.
HEAD = 4096

#: How a gzip member (RFC 1952), an xz stream, a bzip2 stream and a zstd frame (RFC 8878) begin.
GZIP = b"\x1f\x8b\x08"
XZ = b"\xfd7zXZ\x00"
BZIP2 = b"BZh"
ZSTD = b"\x28\xb5\x2f\xfd"
#: Frames of zstd that hold no data (RFC 8878, 3.1.2).
SKIPPABLE = tuple(bytes([0x50 + number]) + b"\x2a\x4d\x18" for number in range(16))

_BZIP2_BLOCKS = (bytes.fromhex("314159265359"), bytes.fromhex("177245385090"))
_ZIP = b"PK\x03\x04"
_SEVEN_ZIP = b"7z\xbc\xaf\x27\x1c"


def layer_of(head: bytes) -> str | None:
    """Return the name of the format that *head* begins, or None when it is no archive.

    A zip without entries has no local header and therefore is none.
    """
    for name, begins in _FORMATS.items():
        if begins(head):
            return name
    return None


def _begins_bzip2(head: bytes) -> bool:
    """Want to see a block, or the end of an empty stream, behind the three letters and the digit."""
    return head.startswith(BZIP2) and head[3:4] in b"123456789" and head[4:10] in _BZIP2_BLOCKS


def _begins_zstd(head: bytes) -> bool:
    """Look behind a skippable frame, with which pzstd begins."""
    if head.startswith(SKIPPABLE):
        head = head[8 + int.from_bytes(head[4:8], "little") :]
    return head.startswith(ZSTD)


_FORMATS: Mapping[str, Callable[[bytes], bool]] = {
    "zip": lambda head: head.startswith(_ZIP),
    "lha": looks_like_lha,
    "gzip": lambda head: head.startswith(GZIP),
    "xz": lambda head: head.startswith(XZ),
    "bzip2": _begins_bzip2,
    "zstd": _begins_zstd,
    "7z": lambda head: head.startswith(_SEVEN_ZIP),
    "tar": looks_like_tar,
}
