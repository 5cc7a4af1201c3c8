"""Read the headers of LHA archives, levels 0 to 3, by LHa, LHarc, LArc and PMarc.

Source: the description of the format in the documentation of LHa for UNIX (header.doc), and for the output of real
programs, the notes in lhasa.
"""

from __future__ import annotations

import codecs
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Literal

from imageport import UnsupportedFormat
from imageport_builtin.unpacking.faults import cut_off, damaged

#: Bytes before the name, the same at every level.
_COMMON = 22
_LEVEL_2 = 26
_LEVEL_3 = 32
#: Bytes that level 0 and 1 headers have after the name: an operating system, a date, owners; PMarc has comments there.
_MOST_BEYOND_NAME = 32
#: A level 3 header may announce up to 4 GiB; real ones have some hundred bytes.
_LONGEST_HEADER = 64 << 10
_LONGEST_NAME = 1024

_METHOD = re.compile(rb"-(lh[0-9a-z]|lz[0-9s]|pm[0-9])-")

# Types of extended headers.
_CRC, _NAME, _FOLDER, _VOLUME = 0x00, 0x01, 0x02, 0x39
_LARGE_SIZES, _UNICODE_NAME, _UNICODE_FOLDER, _CODE_PAGE, _MODE = 0x42, 0x44, 0x45, 0x46, 0x50

# Operating systems, in headers from level 1 on; LHARK has none.
_AMIGA, _OS_9_68K, _LHARK = b"AK "

_TYPE_OF_MODE, _LINK = 0o170000, 0o120000


@dataclass(frozen=True, slots=True)
class LhaEntry:
    """One member: where its *packed* bytes begin, the *size* they unpack to, and the CRC-16 of that."""

    name: str
    kind: Literal["file", "folder", "other"]
    method: str
    offset: int
    packed: int
    size: int
    crc: int


@dataclass(frozen=True, slots=True)
class _Header:
    """The common fields of the levels. ``length`` is that of the whole header, ``packed`` leaves it out."""

    length: int
    packed: int
    size: int
    crc: int
    system: int
    name: bytes
    extensions: Mapping[int, bytes]


def looks_like_lha(head: bytes) -> bool:
    """Return whether *head* begins with a plausible header, not just with the letters ``-lh``.

    Its sum may be wrong: a damaged archive is an archive.
    """
    if len(head) <= _COMMON or not _METHOD.match(head, 2):
        return False
    level = head[20]
    if level in (0, 1):
        return 0 <= _beyond_name(head) <= _MOST_BEYOND_NAME or (head[3:5] == b"pm" and _base_is_right(head))
    if level == 2:
        return int.from_bytes(head[:2], "little") >= _LEVEL_2
    return level == 3 and head[:2] == b"\x04\x00"


def read_entries(file: BinaryIO) -> Iterator[LhaEntry]:
    """Yield the members in *file*. Raises ``VerificationFailed`` for damaged headers, ``UnsupportedFormat``."""
    end = file.seek(0, 2)
    position = 0
    while True:
        file.seek(position)
        head = file.read(_LONGEST_HEADER)
        # A zero byte ends the archive; some programs leave it out.
        if not head or (head[0] == 0 and not _is_level_2(head)):
            return
        try:
            entry = _entry(head, position)
        except (struct.error, IndexError):
            raise damaged(f"lha: the header at byte {position}") from None
        if entry.offset + entry.packed > end:
            raise cut_off("lha: the archive", f"after {end} of {entry.offset + entry.packed} bytes")
        yield entry
        position = entry.offset + entry.packed


def _is_level_2(head: bytes) -> bool:
    """Distinguish a level 2 header, whose length may have a low byte of zero, from the end of the archive."""
    return len(head) > _COMMON and head[20] == 2 and _METHOD.match(head, 2) is not None


def _entry(head: bytes, position: int) -> LhaEntry:
    """Return the member whose header is at *position*. Raises ``IndexError`` and ``struct.error`` for damage."""
    level = head[20]
    if not _METHOD.match(head, 2) or level > 3:
        raise IndexError
    header = _level_0_or_1(head, level) if level < 2 else _level_2_or_3(head, level)
    if _VOLUME in header.extensions:
        raise UnsupportedFormat(
            "lha: the archive is one volume of several",
            hint="unpack all volumes with the program that made them, and import the result",
        )
    method = head[2:7].decode("ascii")
    if level == 1 and method == "-lh7-" and header.system == _LHARK:
        # Another method, under the name that LHa gave to its own later.
        method = "-lk7-"
    name = _full_name(header)
    kind = _kind(method, name, header)
    # lhasa reads no names in Unicode, and no file without another name.
    if kind == "file" and (name.endswith("/") or not header.extensions.get(_NAME, header.name)):
        raise IndexError
    start = position + header.length
    return LhaEntry(name, kind, method, start, header.packed, header.size, header.crc)


def _level_0_or_1(head: bytes, level: int) -> _Header:
    if not _base_is_right(head):
        raise IndexError
    packed, size = struct.unpack_from("<II", head, 7)
    length = head[0] + 2
    name_end = _COMMON + head[21]
    crc = struct.unpack_from("<H", head, name_end)[0]
    # A comment may follow the name.
    name = head[_COMMON:name_end].partition(b"\0")[0]
    if level == 0:
        beyond = head[name_end + 2 : length]
        # Level 0 of Unix ends with mode, user and group.
        mode = {_MODE: beyond[-6:-4]} if beyond.startswith(b"U\0") and len(beyond) >= 12 else {}
        return _Header(length, packed, size, crc, 0, name, mode)
    extensions, end = _extensions(head, length - 2, "<H")
    further = end - length
    if further > packed or _LARGE_SIZES in extensions:
        raise IndexError
    _check_crc(head[:end], extensions)
    return _Header(end, packed - further, size, crc, head[name_end + 2], name, _contents(head, extensions))


def _level_2_or_3(head: bytes, level: int) -> _Header:
    packed, size, crc, system = struct.unpack_from("<II6xHB", head, 7)
    if level == 2:
        # LHA of OS-9/68k does not count the two bytes of the length.
        length = struct.unpack_from("<H", head)[0] + (2 if system == _OS_9_68K else 0)
        extensions, _ = _extensions(head[:length], _LEVEL_2 - 2, "<H")
    else:
        length = struct.unpack_from("<I", head, 24)[0]
        extensions, _ = _extensions(head[:length], _LEVEL_3 - 4, "<I")
    if length > len(head) or (level == 3 and head[:2] != b"\x04\x00"):
        raise IndexError
    _check_crc(head[:length], extensions)
    contents = _contents(head, extensions)
    if _LARGE_SIZES in contents:
        packed, size = struct.unpack_from("<QQ", contents[_LARGE_SIZES])
    return _Header(length, packed, size, crc, system, b"", contents)


def _extensions(head: bytes, position: int, width: str) -> tuple[dict[int, slice], int]:
    """Return where the contents of each extended header are, by its type, and where the chain ends."""
    step = struct.calcsize(width)
    found: dict[int, slice] = {}
    while length := struct.unpack_from(width, head, position)[0]:
        start, position = position + step, position + length
        if length < 1 + step or position + step > len(head):
            raise IndexError
        found[head[start]] = slice(start + 1, position)
    return found, position + step


def _contents(head: bytes, extensions: Mapping[int, slice]) -> dict[int, bytes]:
    return {kind: head[place] for kind, place in extensions.items()}


def _check_crc(header: bytes, extensions: Mapping[int, slice]) -> None:
    """Compare the CRC-16 of the whole *header*, if it has one; that counts as zero itself."""
    if _CRC not in extensions:
        return
    place = extensions[_CRC].start
    (stored,) = struct.unpack_from("<H", header, place)
    if stored != crc16(header[:place] + b"\0\0" + header[place + 2 :]):
        raise IndexError


def crc16(data: bytes) -> int:
    """Return the CRC-16 that LHA uses (polynomial 0x8005, reflected)."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xA001 if crc & 1 else 0)
    return crc


def _full_name(header: _Header) -> str:
    """Return folder and name; bytes of 0xff separate folders, and in the oldest headers backslashes do."""
    found = header.extensions
    encoding = _encoding(found.get(_CODE_PAGE, b""))
    if _UNICODE_NAME in found:
        name = found[_UNICODE_NAME].decode("utf-16-le", "replace")
    elif _NAME in found:
        name = _decoded(found[_NAME], encoding)
    else:
        name = _decoded(header.name, encoding).replace("\\", "/")
    if _UNICODE_FOLDER in found:
        folder = found[_UNICODE_FOLDER].decode("utf-16-le", "replace").replace("\uffff", "/")
    else:
        # No code page has a character with this byte.
        folder = "/".join(_decoded(part, encoding) for part in found.get(_FOLDER, b"").split(b"\xff"))
    separator = "/" if folder and not folder.endswith("/") else ""
    return (folder + separator + name)[-_LONGEST_NAME:]


def _encoding(code_page: bytes) -> str:
    """Return Python's name for a *code page* of Windows; where none is named, names are in UTF-8 or in Japanese."""
    number = int.from_bytes(code_page[:4], "little")
    try:
        return codecs.lookup("utf-8" if number == 65001 else f"cp{number}").name
    except LookupError:
        return ""


def _decoded(name: bytes, encoding: str) -> str:
    if encoding:
        return name.decode(encoding, "replace")
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("cp932", "replace")


def _kind(method: str, name: str, header: _Header) -> Literal["file", "folder", "other"]:
    if method == "-lhd-":
        mode = int.from_bytes(header.extensions.get(_MODE, b"")[:2], "little")
        return "other" if mode & _TYPE_OF_MODE == _LINK else "folder"
    # Some archives of the Amiga have folders like this.
    if header.system == _AMIGA and method == "-lh0-" and not header.size and (not name or name.endswith("/")):
        return "folder"
    return "file"


def _beyond_name(head: bytes) -> int:
    """Return how many bytes a header of level 0 or 1 has behind name and CRC."""
    return head[0] - _COMMON - head[21]


def _base_is_right(head: bytes) -> bool:
    """Check the length and the sum of a header of level 0 or 1."""
    base = head[: head[0] + 2]
    return _beyond_name(head) >= 0 and len(base) == head[0] + 2 and sum(base[2:]) & 0xFF == head[1]
