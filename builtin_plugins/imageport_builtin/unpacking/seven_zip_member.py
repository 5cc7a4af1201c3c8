"""Stream the one image out of a 7z archive."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

from imageport import Chunks, ImageData
from imageport_builtin.unpacking.faults import cut_off, damaged
from imageport_builtin.unpacking.isolation import decode_elsewhere
from imageport_builtin.unpacking.job import Job, as_file

#: The header at the start: magic and version, CRC of the other fields, place, length and CRC of the header at the end.
_START = struct.Struct("<8sIQQI")


def unpack_seven_zip(data: ImageData, job: Job) -> Chunks:
    """Yield the bytes of the one file in the 7z archive *data*; its CRC is checked at the end.

    Raises ``VerificationFailed`` for anything but exactly one whole file, ``UnsupportedFormat`` for one that cannot be
    read, and ``LimitExceeded`` when the archive needs more memory than allowed.
    """
    with as_file(data, job.ctx) as path:
        _require_whole(path)
        yield from decode_elsewhere("7z", {"path": str(path), "member": job.member}, job)


def _require_whole(path: Path) -> None:
    """Raise ``VerificationFailed`` when the header at the end, which lists the members, is not there."""
    with path.open("rb") as file:
        start = file.read(_START.size)
    length = path.stat().st_size
    if len(start) < _START.size:
        raise cut_off("7z: the archive", f"after {length} bytes")
    _, crc, place, size, _ = _START.unpack(start)
    if zlib.crc32(start[12:]) != crc:
        raise damaged("7z: the archive", "in its first 32 bytes")
    if _START.size + place + size > length:
        raise cut_off(
            "7z: the archive",
            f"after {length} of {_START.size + place + size} bytes, or this is the first part of several, which have "
            "to be joined with 'cat NAME.7z.*'",
        )
