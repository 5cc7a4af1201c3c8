"""Parse the header blocks of tar archives: v7, ustar, pax, GNU and star.

Sources: POSIX.1-2017, utility pax, "ustar Interchange Format"; the manual of GNU tar, "Basic Tar Format". A header that
GNU tar and bsdtar read differently counts as damaged: an image must not depend on the program that unpacks it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BLOCK = 512

#: The largest number that all programs can read.
MOST = (1 << 63) - 1

# Type flags. Any other is that of something that programs make a regular file of when they do not know it.
HARD_LINK, SYMLINK, FOLDER = b"1", b"2", b"5"
REGULAR = frozenset({b"0", b"\0", b"7"})
WITHOUT_CONTENTS = frozenset({SYMLINK, b"3", b"4", b"6"})
LONG_NAME, LONG_LINK, DUMPED_FOLDER, NEXT_VOLUME, SPARSE, LABEL = b"L", b"K", b"D", b"M", b"S", b"V"
PAX = frozenset({b"x", b"X"})
PAX_GLOBAL = b"g"

_MAGIC = slice(257, 265)
_GNU, _POSIX = b"ustar  \0", b"ustar\0"
_STAR_END = b"tar\0"
_SIZE = slice(124, 136)
_CHECKSUM = slice(148, 156)
#: Mode, user, group, size, date and checksum.
_NUMBERS = (slice(100, 108), slice(108, 116), slice(116, 124), _SIZE, slice(136, 148), _CHECKSUM)
_DEVICE = (slice(329, 337), slice(337, 345))
_OCTAL = re.compile(rb" *([0-7]+)[ \0]*")
#: Texts that all programs take for a number, even if they leave it blank or have it negative in base 256.
_WELL_FORMED = re.compile(rb" *[0-7]*[ \0]*|[\x80\xff].*", re.DOTALL)
#: As programs write it; a disk may begin with digits.
_TERMINATED = re.compile(rb" *[0-7]+ ?\0 ?")


class Damage(ValueError):
    """Raised for a header that cannot be read; the text completes "the header is damaged: ..."."""


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of a header block that matter here. ``size`` is that of the data behind the header."""

    name: bytes
    size: int
    type: bytes
    is_gnu: bool
    is_posix: bool


def looks_like_tar(head: bytes) -> bool:
    """Return whether *head* begins with a header block, even if some bytes of it are damaged.

    The letters "ustar" are not required: v7 archives have none, and boot code may have them.
    """
    block = head[:BLOCK]
    if len(block) < BLOCK:
        return False
    octal = [_TERMINATED.fullmatch(block[field]) for field in _NUMBERS]
    return sum(map(bool, octal)) >= len(_NUMBERS) // 2 or _sum_is_right(block)


def parse_header(block: bytes) -> Header:
    """Return the fields of *block*, 512 bytes. Raises ``Damage``."""
    if not _sum_is_right(block):
        raise Damage("its checksum is wrong")
    if not all(_WELL_FORMED.fullmatch(block[field]) for field in (*_NUMBERS, *_DEVICE)):
        raise Damage("a number in it is not octal")
    magic = block[_MAGIC]
    is_posix = magic.startswith(_POSIX)
    return Header(
        _name(block, with_prefix=is_posix), number(block[_SIZE]), block[156:157], magic == _GNU, is_posix
    )


def number(field: bytes) -> int:
    """Return the number in a *field* of a header: octal, or base-256 as GNU tar and star have it. Raises ``Damage``."""
    if field[0] == 0x80:
        value = int.from_bytes(field[1:], "big")
    elif not field.strip(b"\0"):
        return 0
    elif match := _OCTAL.fullmatch(field):
        value = int(match[1], 8)
    else:
        raise Damage("a number in it is not octal")
    if value > MOST:
        raise Damage("a number in it is too large")
    return value


def _sum_is_right(block: bytes) -> bool:
    """Check the sum of a header; some old programs took bytes for signed numbers."""
    stored = _OCTAL.fullmatch(block[_CHECKSUM])
    if stored is None:
        return False
    others = block[: _CHECKSUM.start] + block[_CHECKSUM.stop :]
    unsigned = sum(others) + 8 * ord(" ")
    signed = unsigned - 256 * sum(byte >= 0x80 for byte in others)
    return int(stored[1], 8) in (unsigned, signed)


def _name(block: bytes, *, with_prefix: bool) -> bytes:
    name = _text(block[:100])
    if not with_prefix:
        return name
    prefix = _text(block[345 : 476 if block.endswith(_STAR_END) else 500])
    return prefix + b"/" + name if prefix else name


def _text(field: bytes) -> bytes:
    return field.partition(b"\0")[0]
