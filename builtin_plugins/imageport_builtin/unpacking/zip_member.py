"""Stream the one image out of a zip file."""

from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from enum import IntEnum
from itertools import chain
from typing import BinaryIO

from imageport import CHUNK_SIZE, Chunks, ImageData, LimitExceeded, UnsupportedFormat
from imageport_builtin.unpacking.faults import cut_off, damaged, encrypted, unsupported
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

#: Bytes that zipfile may read at once; it takes the whole list of members into memory.
_DIRECTORY_LIMIT = 1 << 20

_LOCAL_HEADER = 30
_SIGNATURE = b"PK\x03\x04"

# General purpose flags (APPNOTE 4.4.4).
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_END_MARKER = 0x2

_AES = 99
_OTHER_METHODS = {
    1: "Shrink",
    **dict.fromkeys((2, 3, 4, 5), "Reduce"),
    6: "Implode",
    7: "Tokenize",
    10: "DCL Implode",
    18: "TERSE",
    20: "an early form of zstd",
}

#: The record at the end of a zip, and how far its comment can move it from there (APPNOTE 4.3.16).
_END = b"PK\x05\x06"
_END_LENGTH = 22
_LONGEST_COMMENT = 65_535


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


def unpack_zip(data: ImageData, job: Job) -> Chunks:
    """Yield the bytes of the one file in the zip archive *data*; length and CRC are checked at the end.

    Raises ``VerificationFailed`` for anything but exactly one whole file, ``UnsupportedFormat`` for one that cannot be
    read.
    """
    with as_file(data, job.ctx) as path, path.open("rb") as file:
        info = only_image("zip", _members(file), job.member).handle
        _check_readable(info)
        crc = 0
        length = 0
        for piece in _decoded(file, info, job):
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


def _members(file: BinaryIO) -> Iterator[Member[zipfile.ZipInfo]]:
    _require_end(file)
    try:
        with _Capped(file.name) as capped, zipfile.ZipFile(capped) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as error:
        raise damaged("zip: the list of members") from error
    for info in entries:
        is_link = stat.S_ISLNK(info.external_attr >> 16)
        yield Member(
            info.filename, "folder" if info.filename.endswith("/") else "other" if is_link else "file", info
        )


def _require_end(file: BinaryIO) -> None:
    """Raise ``VerificationFailed`` when the end is missing, ``UnsupportedFormat`` when there are other parts."""
    length = os.fstat(file.fileno()).st_size
    start = max(0, length - _END_LENGTH - _LONGEST_COMMENT)
    tail = os.pread(file.fileno(), length - start, start)
    end = tail.rfind(_END)
    if end < 0:
        raise cut_off(
            "zip: the archive", f"after {length} bytes: the list of members, which stands last, is missing"
        )
    part = int.from_bytes(tail[end + 4 : end + 6], "little")
    if part not in (0, 0xFFFF):
        raise UnsupportedFormat(
            f"zip: this is part {part + 1} of a split archive",
            hint="join the parts with 'zip -s 0 NAME.zip --out WHOLE.zip' and import that",
        )


def _check_readable(info: zipfile.ZipInfo) -> None:
    if info.flag_bits & _ENCRYPTED or info.compress_type == _AES:
        raise encrypted(_subject(info))
    if info.compress_type not in set(Method):
        method = _OTHER_METHODS.get(info.compress_type, f"compression method {info.compress_type}")
        raise unsupported(_subject(info), method, "7z x")


def _decoded(file: BinaryIO, info: zipfile.ZipInfo, job: Job) -> Chunks:
    descriptor = file.fileno()
    start = _data_offset(descriptor, info)
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
    return decode_member(codec, Feed(packed, job.check), _subject(info))


def _subject(info: zipfile.ZipInfo) -> str:
    return f"zip: {printable(info.filename)}"


def _data_offset(descriptor: int, info: zipfile.ZipInfo) -> int:
    """Skip the header in front of the member; what it repeats of the list of members does not matter."""
    inside = 0 <= info.header_offset < os.fstat(descriptor).st_size
    header = os.pread(descriptor, _LOCAL_HEADER, info.header_offset) if inside else b""
    if len(header) < _LOCAL_HEADER or not header.startswith(_SIGNATURE):
        raise damaged(_subject(info), f"at byte {info.header_offset}: no member begins there")
    name_length, extra_length = struct.unpack_from("<HH", header, 26)
    return info.header_offset + _LOCAL_HEADER + int(name_length) + int(extra_length)


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
