"""Compare facts that a zip stores twice: the header before a member and the list of members, and that list and its end.

Source: PKWARE APPNOTE 6.3.10, sections 4.3, 4.4 and 4.5.3. Some programs believe the one, some the other; where they
differ, an image would depend on the program that unpacks it.
"""

from __future__ import annotations

import os
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

from imageport import UnsupportedFormat
from imageport_builtin.unpacking.faults import cut_off, damaged
from imageport_builtin.unpacking.members import printable

_SIGNATURE = b"PK\x03\x04"
_LENGTH = 30

_LISTED = b"PK\x01\x02"
_LISTED_LENGTH = 46
#: The end, the end in 64 bits, and the signature, which may follow the list.
_END, _LARGE_END, _LOCATOR = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07"
_AFTER_LIST = (_END, b"PK\x05\x05")
_MARKER = b"PK00"
#: How far a comment can move the end from the end of the file.
_END_LENGTH = 22
_LONGEST_COMMENT = 65_535

#: CRC and sizes follow the contents.
_STREAMED = 0x8
#: Flags in which the headers may differ: how well deflate compressed, and the encoding of names.
_HARMLESS = 0x806
#: The header is empty because the names are encrypted.
_MASKED = 0x2000
_ENCRYPTED = 0x1

#: A size that is in the extra field with this number.
_ELSEWHERE = 0xFFFFFFFF
_ZIP64 = 1


@dataclass(frozen=True, slots=True)
class End:
    """The last record of a zip: where it ends, how many bytes follow, and its fields about the list of members."""

    position: int
    trailing: int
    count: int
    list_start: int


def contents_offset(descriptor: int, info: zipfile.ZipInfo, end: int) -> int:
    """Return where the contents of the member *info* begin in the file *descriptor*, whose members end at *end*.

    Raises ``VerificationFailed`` when the header there is none, or differs from the list of members.
    """
    subject = f"zip: {printable(info.filename)}"
    inside = 0 <= info.header_offset < os.fstat(descriptor).st_size
    header = os.pread(descriptor, _LENGTH, info.header_offset) if inside else b""
    if len(header) < _LENGTH or not header.startswith(_SIGNATURE):
        raise damaged(subject, f"at byte {info.header_offset}: no member begins there")
    flags, method, crc, packed, size, name_length, extra_length = struct.unpack_from(
        "<2xHH4xIIIHH", header, 4
    )
    name = os.pread(descriptor, name_length, info.header_offset + _LENGTH)
    start = info.header_offset + _LENGTH + int(name_length)
    sizes = _sizes(packed, size, os.pread(descriptor, extra_length, start))
    listed = (info.CRC, info.compress_size, info.file_size)
    # A field that was unknown when the header was written is zero there.
    same = all(
        here == there or (flags & _STREAMED and not here)
        for here, there in zip((crc, *sizes), listed, strict=True)
    )
    # The header of a member that cannot be read does not matter; programs write it in several ways.
    if info.flag_bits & (_MASKED | _ENCRYPTED) and not info.filename.endswith("/"):
        return start
    if info.volume not in (0, 0xFFFF):
        raise damaged(subject, f"at byte {info.header_offset}: it begins in another part")
    # Names may be in different encodings; none has a zero, and 7z takes a header with one for none.
    if b"\0" in name or method != info.compress_type or (flags ^ info.flag_bits) & ~_HARMLESS or not same:
        raise damaged(subject, f"at byte {info.header_offset}: its header and the list of members differ")
    start += int(extra_length)
    if start + info.compress_size > end:
        raise damaged(subject, f"at byte {info.header_offset}: it reaches into the list of members")
    return start


def check_list(
    descriptor: int, start: int, length: int, entries: Sequence[zipfile.ZipInfo], end: End
) -> None:
    """Compare the *entries* that zipfile found in the list at *start*, of at most *length* bytes, with its *end*.

    zipfile believes neither the number of members nor the lengths of names, and accepts bytes in front of the archive.
    Raises ``VerificationFailed`` when they differ.
    """
    directory = os.pread(descriptor, length, start)
    count = position = 0
    while directory.startswith(_LISTED, position) and position + _LISTED_LENGTH <= len(directory):
        position += _LISTED_LENGTH + sum(struct.unpack_from("<HHH", directory, position + 28))
        count += 1
    # Offsets may leave out the marker of an archive that could have been split.
    lead = len(_MARKER) if os.pread(descriptor, len(_MARKER), 0) == _MARKER else 0
    known = {(count, start), (count, start - lead)}
    if directory.startswith(_LARGE_END, position):
        large = _large_end(directory, position)
        known |= {
            (number, place) for number in (count, 0xFFFF) for place in (start, start - lead, _ELSEWHERE)
        }
        if large not in {(count, start, start + position), (count, start - lead, start + position - lead)}:
            raise damaged("zip: the list of members", "at its end in 64 bits")
    elif not directory.startswith(_AFTER_LIST, position):
        raise damaged("zip: the list of members", f"at byte {start + position}")
    if count != len(entries) or (end.count, end.list_start) not in known:
        raise damaged(
            "zip: the list of members",
            f"(it has {count} members from byte {start} on, and should have {end.count} from {end.list_start} on)",
        )


def _large_end(directory: bytes, position: int) -> tuple[int, int, int]:
    """Return the number of members, the place of their list, and that of this record, from it and its locator."""
    length, *parts, count_here, count, list_start = struct.unpack_from("<4xQ4xIIQQ8xQ", directory, position)
    locator = position + 12 + int(length)
    if any(parts) or count_here != count or not directory.startswith(_LOCATOR, locator):
        return 0, 0, 0
    (record,) = struct.unpack_from("<Q", directory, locator + 8)
    return int(count), int(list_start), int(record)


def read_end(descriptor: int) -> End:
    """Return the end record of the file *descriptor*.

    Raises ``VerificationFailed`` when it is missing or contradicts itself, ``UnsupportedFormat`` when there are other
    parts.
    """
    length = os.fstat(descriptor).st_size
    start = max(0, length - _END_LENGTH - _LONGEST_COMMENT)
    tail = os.pread(descriptor, length - start, start)
    found = tail.rfind(_END)
    if found < 0 or found + _END_LENGTH > len(tail):
        raise cut_off(
            "zip: the archive",
            f"after {length} bytes: the list of members, which stands last, is missing; or this is the first part of "
            "several, which have to be joined with 'cat NAME.zip.*'",
        )
    part, list_part, count_here, count, _, list_start, comment = struct.unpack_from(
        "<HHHHIIH", tail, found + 4
    )
    if part not in (0, 0xFFFF):
        raise UnsupportedFormat(
            f"zip: this is part {part + 1} of a split archive",
            hint="join the parts with 'zip -s 0 NAME.zip --out WHOLE.zip' and import that",
        )
    if count_here != count:
        raise damaged("zip: the list of members", f"({count_here} and {count} members are announced)")
    if list_part not in (0, 0xFFFF):
        raise damaged("zip: the list of members", f"(it should be in part {list_part + 1} of one)")
    end = start + found + _END_LENGTH + int(comment)
    if end > length:
        raise cut_off("zip: the archive", f"after {length} of {end} bytes")
    return End(end, length - end, int(count), int(list_start))


def _sizes(packed: int, size: int, extra: bytes) -> tuple[int, int]:
    """Return both sizes, out of the *extra* field if they are there."""
    if _ELSEWHERE not in (packed, size):
        return packed, size
    position = 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        content = extra[position + 4 : position + 4 + length]
        if kind == _ZIP64 and len(content) == length >= 16:
            large_size, large_packed = struct.unpack_from("<QQ", content)
            return (
                large_packed if packed == _ELSEWHERE else packed,
                large_size if size == _ELSEWHERE else size,
            )
        position += 4 + length
    return packed, size
