"""Read the headers of LHA archives, levels 0 to 3.

Source: the description of the format in the documentation of LHa for UNIX (header.doc).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from imageport import TransformFailed

#: Bytes before the name, the same at every level.
_COMMON = 22
_LEVEL_2 = 26
_LEVEL_3 = 32
#: Bytes that level 0 and 1 headers may have after the name: an operating system, a date, owners.
_MOST_BEYOND_NAME = 32
#: A level 3 header may announce up to 4 GiB; real ones have some hundred bytes.
_LONGEST_HEADER = 64 << 10
_LONGEST_NAME = 1024

_NAME, _FOLDER, _LARGE_SIZES = 0x01, 0x02, 0x42


@dataclass(frozen=True, slots=True)
class LhaEntry:
    """One member: where its *packed* bytes begin, the *size* they unpack to, and the CRC-16 of that."""

    name: str
    method: str
    offset: int
    packed: int
    size: int
    crc: int


def looks_like_lha(head: bytes) -> bool:
    """Tell whether *head* begins with a plausible LHA header, not just with the letters ``-lh``."""
    if head[2:5] != b"-lh" or head[6:7] != b"-" or len(head) <= _COMMON or not head[5:6].isalnum():
        return False
    level = head[20]
    if level in (0, 1):
        return _base_is_right(head)
    if level == 2:
        return int.from_bytes(head[:2], "little") >= _LEVEL_2
    return level == 3 and head[:2] == b"\x04\x00"


def read_entries(file: BinaryIO) -> Iterator[LhaEntry]:
    """Yield the members in *file*. Raises ``TransformFailed`` for damaged headers."""
    end = file.seek(0, 2)
    position = 0
    while True:
        file.seek(position)
        head = file.read(_LONGEST_HEADER)
        # A zero byte ends the archive; some programs leave it out.
        if not head or (head[0] == 0 and not _is_level_2(head)):
            return
        entry = _entry(head, position)
        if entry.offset + entry.packed > end:
            raise TransformFailed(
                f"lha: the data ends too early, at byte {end} of {entry.offset + entry.packed}",
                hint="fetch the image again; this copy is incomplete",
            )
        yield entry
        position = entry.offset + entry.packed


def _is_level_2(head: bytes) -> bool:
    """Tell a level 2 header, whose length may have a low byte of zero, from the end of the archive."""
    return len(head) > _COMMON and head[20] == 2 and head[2:4] == b"-l"


def _entry(head: bytes, position: int) -> LhaEntry:
    try:
        if head[2:4] != b"-l" or head[6:7] != b"-":
            raise _damaged(position)
        level = head[20]
        if level in (0, 1):
            return _level_0_or_1(head, position, level)
        if level == 2:
            total = int.from_bytes(head[:2], "little")
            return _level_2_or_3(head[:total], position, total, "<H", _LEVEL_2)
        if level == 3:
            total = struct.unpack_from("<I", head, 24)[0]
            return _level_2_or_3(head[:total], position, total, "<I", _LEVEL_3)
    except (struct.error, IndexError) as error:
        raise _damaged(position) from error
    raise _damaged(position)


def _level_0_or_1(head: bytes, position: int, level: int) -> LhaEntry:
    if not _base_is_right(head):
        raise _damaged(position)
    packed, size = struct.unpack_from("<II", head, 7)
    base = head[0] + 2
    name_end = _COMMON + head[21]
    name = head[_COMMON:name_end]
    crc = struct.unpack_from("<H", head, name_end)[0]
    start = base
    if level == 1:
        extensions, start = _extensions(head, base - 2, "<H")
        name = _full_name(extensions) or name
        packed -= start - base
        if packed < 0:
            raise _damaged(position)
    return LhaEntry(_readable(name), _method(head), position + start, packed, size, crc)


def _level_2_or_3(head: bytes, position: int, total: int, width: str, minimum: int) -> LhaEntry:
    if len(head) != total or total < minimum:
        raise _damaged(position)
    packed, size = struct.unpack_from("<II", head, 7)
    crc = struct.unpack_from("<H", head, 21)[0]
    extensions, _ = _extensions(head, minimum - struct.calcsize(width), width)
    if _LARGE_SIZES in extensions:
        packed, size = struct.unpack_from("<QQ", extensions[_LARGE_SIZES])
    return LhaEntry(_readable(_full_name(extensions)), _method(head), position + total, packed, size, crc)


def _extensions(head: bytes, position: int, width: str) -> tuple[dict[int, bytes], int]:
    """Return the extended headers whose chain begins at *position*, and where it ends."""
    step = struct.calcsize(width)
    found: dict[int, bytes] = {}
    while True:
        length = struct.unpack_from(width, head, position)[0]
        position += step
        if not length:
            return found, position
        if length < 1 + step or position + length > len(head):
            raise IndexError
        found[head[position]] = head[position + 1 : position + length - step]
        position += length - step


def _full_name(extensions: dict[int, bytes]) -> bytes:
    folder = extensions.get(_FOLDER, b"").replace(b"\xff", b"/")
    return folder + extensions.get(_NAME, b"")


def _readable(name: bytes) -> str:
    """Return the end of *name*, which is what patterns and people look at."""
    return name.partition(b"\0")[0][-_LONGEST_NAME:].decode("utf-8", "replace")


def _method(head: bytes) -> str:
    return head[2:7].decode("latin-1")


def _base_is_right(head: bytes) -> bool:
    """Check the length and the sum of a header of level 0 or 1; the sum alone is right once in 256 times."""
    base = head[: head[0] + 2]
    beyond_name = head[0] - _COMMON - head[21]
    return (
        0 <= beyond_name <= _MOST_BEYOND_NAME and len(base) == head[0] + 2 and sum(base[2:]) & 0xFF == head[1]
    )


def _damaged(position: int) -> TransformFailed:
    return TransformFailed(
        f"lha: the header at byte {position} is damaged",
        hint="fetch the image again; this copy is incomplete or damaged",
    )
