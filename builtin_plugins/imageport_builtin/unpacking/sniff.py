"""Recognise an archive by its first bytes, and by nothing else."""

from __future__ import annotations

from imageport_builtin.unpacking.lha_header import looks_like_lha

#: Bytes that ``layer_of`` wants to see.
HEAD = 4096

_GZIP = b"\x1f\x8b\x08"
_XZ = b"\xfd7zXZ\x00"
_BZIP2_BLOCKS = (bytes.fromhex("314159265359"), bytes.fromhex("177245385090"))
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZIP = b"PK\x03\x04"
_SEVEN_ZIP = b"7z\xbc\xaf\x27\x1c"
_TAR_BLOCK = 512


def layer_of(head: bytes) -> str | None:
    """Return the name of the format that *head* begins, or None when it is no archive.

    A zip without entries has no local header and therefore is none.
    """
    for name, begins in _FORMATS.items():
        if begins(head):
            return name
    return None


def begins_gzip(head: bytes) -> bool:
    """Tell whether a gzip member begins here (RFC 1952)."""
    return head.startswith(_GZIP)


def begins_xz(head: bytes) -> bool:
    """Tell whether an xz stream begins here."""
    return head.startswith(_XZ)


def begins_bzip2(head: bytes) -> bool:
    """Tell whether a bzip2 stream begins here: its header, then a block or the end of an empty stream."""
    return head[:3] == b"BZh" and head[3:4] in b"123456789" and head[4:10] in _BZIP2_BLOCKS


def begins_zstd(head: bytes) -> bool:
    """Tell whether a zstd frame begins here, perhaps after a skippable frame as pzstd writes it."""
    if begins_skippable(head):
        head = head[8 + int.from_bytes(head[4:8], "little") :]
    return head.startswith(_ZSTD)


def begins_skippable(head: bytes) -> bool:
    """Tell whether a skippable zstd frame begins here (RFC 8878, 3.1.2)."""
    return head[1:4] == b"\x2a\x4d\x18" and 0x50 <= head[0] <= 0x5F


def _begins_tar(head: bytes) -> bool:
    """Check the header sum too: boot code may hold the letters by chance."""
    block = head[:_TAR_BLOCK]
    if len(block) < _TAR_BLOCK or block[257:262] != b"ustar":
        return False
    try:
        stored = int(block[148:156].strip(b" \0"), 8)
    except ValueError:
        return False
    return stored == sum(block[:148]) + sum(block[156:]) + 8 * ord(" ")


_FORMATS = {
    "zip": lambda head: head.startswith(_ZIP),
    "lha": looks_like_lha,
    "gzip": begins_gzip,
    "xz": begins_xz,
    "bzip2": begins_bzip2,
    "zstd": begins_zstd,
    "7z": lambda head: head.startswith(_SEVEN_ZIP),
    "tar": _begins_tar,
}
