"""Stream the one image out of a zip file."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain
from typing import BinaryIO, Literal

from imageport import Chunks, ImageData, LimitExceeded
from imageport.dataplane import CHUNK_SIZE
from imageport_builtin.unpacking.faults import damaged, encrypted, unsupported
from imageport_builtin.unpacking.frames import (
    Feed,
    bzip2_codec,
    decode_member,
    lzma_codec,
    xz_codec,
    zstd_codec,
)
from imageport_builtin.unpacking.isolation import decode_elsewhere
from imageport_builtin.unpacking.job import Job, as_file
from imageport_builtin.unpacking.members import Member, only_image, printable
from imageport_builtin.unpacking.zip_codecs import deflate_codec, lzma_header
from imageport_builtin.unpacking.zip_layout import check_list, contents_offset, read_end

#: Bytes that zipfile may read at once; it takes the whole list of members into memory.
_DIRECTORY_LIMIT = 1 << 20

# General purpose flags (APPNOTE 4.4.4).
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_END_MARKER = 0x2

_AES = 99

# Systems whose attributes members have (APPNOTE 4.4.2), and the attribute of a folder.
_DOS, _UNIX = 0, 3
_DOS_FOLDER = 0x10
_OTHER_METHODS = {
    1: "Shrink",
    **dict.fromkeys((2, 3, 4, 5), "Reduce"),
    6: "Implode",
    7: "Tokenize",
    10: "DCL Implode",
    18: "TERSE",
    20: "an early form of zstd",
}


class Method(IntEnum):
    """The compression methods that can be read (APPNOTE 4.4.5)."""

    STORED = 0
    DEFLATED = 8
    DEFLATE64 = 9
    BZIP2 = 12
    LZMA = 14
    ZSTD = 93
    XZ = 95
    PPMD = 98


@dataclass(frozen=True, slots=True)
class _Place:
    """A member, and where its contents begin."""

    info: zipfile.ZipInfo
    start: int


def unpack_zip(data: ImageData, job: Job) -> Chunks:
    """Yield the bytes of the one file in the zip archive *data*; length and CRC are checked at the end.

    Raises ``VerificationFailed`` for anything but exactly one whole file, ``UnsupportedFormat`` for one that cannot be
    read.
    """
    with as_file(data, job.ctx) as path, path.open("rb") as file:
        place = only_image("zip", _members(file, job), job.member).handle
        info = place.info
        _check_readable(info)
        crc = 0
        length = 0
        for piece in _decoded(file, place, job):
            length += len(piece)
            if length > info.file_size:
                break
            crc = zlib.crc32(piece, crc)
            yield piece
        if length != info.file_size or crc != info.CRC:
            raise damaged(
                _subject(info),
                f"at its end: {info.file_size} bytes with CRC {info.CRC:08x} were announced, "
                f"{length} bytes with CRC {crc:08x} came",
            )


def _members(file: BinaryIO, job: Job) -> Iterator[Member[_Place]]:
    descriptor = file.fileno()
    end = read_end(descriptor)
    try:
        with _Capped(file.name) as capped, zipfile.ZipFile(capped) as archive:
            entries = archive.infolist()
            check_list(descriptor, archive.start_dir, _DIRECTORY_LIMIT, entries, end)
            end_of_members = archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as error:
        raise damaged("zip: the list of members") from error
    if end.trailing:
        job.accept_trailing("zip", end.position, end.trailing, "archive")
    end_of_last = 0
    places: dict[int, _Place] = {}
    for info in sorted(entries, key=lambda info: info.header_offset):
        start = contents_offset(descriptor, info, end_of_members)
        if info.header_offset < end_of_last:
            raise damaged(_subject(info), f"at byte {info.header_offset}: another member is there, too")
        end_of_last = start + info.compress_size
        places[id(info)] = _Place(info, start)
    for info in entries:
        yield Member(info.filename, _kind(info), places[id(info)])


def _kind(info: zipfile.ZipInfo) -> Literal["file", "folder", "other"]:
    """Return the type of *info*; its attributes may contradict its name."""
    if info.filename.endswith("/"):
        return "folder"
    mode = info.external_attr >> 16
    is_folder = (info.create_system == _DOS and bool(info.external_attr & _DOS_FOLDER)) or (
        info.create_system == _UNIX and stat.S_ISDIR(mode)
    )
    return "other" if stat.S_ISLNK(mode) or is_folder else "file"


def _check_readable(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED or info.compress_type == _AES:
        raise encrypted(_subject(info))
    if info.compress_type not in set(Method):
        method = _OTHER_METHODS.get(info.compress_type, f"compression method {info.compress_type}")
        raise unsupported(_subject(info), method, "7z x")


def _decoded(file: BinaryIO, place: _Place, job: Job) -> Chunks:
    descriptor = file.fileno()
    info, start = place.info, place.start
    packed = _pieces(descriptor, start, info.compress_size, job)
    match Method(info.compress_type):
        case Method.STORED:
            return packed
        case Method.DEFLATED:
            codec = deflate_codec()
        case Method.BZIP2:
            codec = bzip2_codec()
        case Method.LZMA:
            size = None if info.flag_bits & _END_MARKER else info.file_size
            skip, header = lzma_header(os.pread(descriptor, 16, start), size)
            packed = chain([header], _pieces(descriptor, start + skip, info.compress_size - skip, job))
            codec = lzma_codec(job.memory)
        case Method.ZSTD:
            codec = zstd_codec(job.memory)
        case Method.XZ:
            codec = xz_codec(job.memory)
        case (Method.DEFLATE64 | Method.PPMD) as method:
            task = {
                "path": file.name,
                "method": method.name,
                "start": start,
                "packed": info.compress_size,
                "size": info.file_size,
                "memory": job.memory,
                "subject": _subject(info),
            }
            return decode_elsewhere("zip", task, job)
    return decode_member(codec, Feed(packed, job.require_time), _subject(info))


def _subject(info: zipfile.ZipInfo) -> str:
    return f"zip: {printable(info.filename)}"


def _pieces(descriptor: int, start: int, length: int, job: Job) -> Chunks:
    end = start + length
    while start < end:
        piece = os.pread(descriptor, min(CHUNK_SIZE, end - start), start)
        if not piece:
            return
        start += len(piece)
        yield piece


class _Capped(io.FileIO):
    """A file of which only small parts can be read at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        most = _DIRECTORY_LIMIT + 1
        piece = super().read(most if size is None or size < 0 else min(size, most)) or b""
        if len(piece) == most:
            raise LimitExceeded(
                f"zip: the list of members is longer than {_DIRECTORY_LIMIT} bytes",
                hint="pack exactly one image",
            )
        return piece
