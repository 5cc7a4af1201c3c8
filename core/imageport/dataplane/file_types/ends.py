"""Recognise files by their last bytes: disk images of macOS, and archives whose beginning is missing.

Sources: APPNOTE 6.3.10, section 4.3.16, for zip; the .xz file format 1.1.0, section 2.1.2, for xz.
"""

from __future__ import annotations

import struct
import zlib

from imageport.dataplane.file_types.archives import JOIN_ZIP
from imageport.dataplane.file_types.signature import FileType

_SECTOR = 512
_ZIP_END = struct.Struct("<4sHHHHIIH")
_ZIP_MAGIC = b"PK\x05\x06"
#: A number of this many parts is elsewhere, for it is too large.
_ZIP_ELSEWHERE = 0xFFFF
#: Bytes of each member in the list of members.
_ZIP_LISTED = 46
_XZ_FOOTER = struct.Struct("<I6s2s")
_XZ_MAGIC = b"YZ"

_FETCH = "fetch the image again; if it came in several parts, join them all in their order before"

_DMG = FileType(
    "dmg",
    "disk",
    "a disk image of macOS (dmg)",
    "convert it with 'qemu-img convert -f dmg -O qcow2', or 'hdiutil convert -format UDTO', and import the result",
)
_SPLIT_ZIP = FileType("split zip", "archive", "the last part of a split zip archive", JOIN_ZIP)
_ZIP = FileType(
    "zip", "archive", "a zip archive whose beginning is damaged or missing", _FETCH, is_damaged=True
)
_XZ = FileType(
    "xz", "archive", "an xz archive whose beginning is damaged or missing", _FETCH, is_damaged=True
)


def identify_end(tail: bytes) -> FileType | None:
    """Return the type of a file that ends with *tail*, its last 512 bytes or more, when the end shows it.

    A whole archive ends so, too: ask ``identify`` first.
    """
    if tail[-_SECTOR:].startswith(b"koly"):
        return _DMG
    if _ends_xz(tail):
        return _XZ
    return _zip_ending(tail)


def _zip_ending(tail: bytes) -> FileType | None:
    start = tail.rfind(_ZIP_MAGIC)
    if start < 0 or len(tail) - start < _ZIP_END.size:
        return None
    _, part, list_part, here, count, length, _, comment = _ZIP_END.unpack_from(tail, start)
    if start + _ZIP_END.size + comment != len(tail) or here > count or list_part > part:
        return None
    if part not in (0, _ZIP_ELSEWHERE):
        return _SPLIT_ZIP
    return _ZIP if here == count > 0 and length >= _ZIP_LISTED * count else None


def _ends_xz(tail: bytes) -> bool:
    if len(tail) < _XZ_FOOTER.size:
        return False
    checksum, fields, magic = _XZ_FOOTER.unpack_from(tail, len(tail) - _XZ_FOOTER.size)
    return bool(magic == _XZ_MAGIC and zlib.crc32(fields) == checksum)
