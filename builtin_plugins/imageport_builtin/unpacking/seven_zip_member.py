"""Stream the one image out of a 7z archive."""

from __future__ import annotations

from imageport import Chunks, ImageData
from imageport_builtin.unpacking.isolation import decode_elsewhere
from imageport_builtin.unpacking.job import Job, as_file


def unpack_seven_zip(data: ImageData, job: Job) -> Chunks:
    """Yield the bytes of the one file in the 7z archive *data*; its CRC is checked at the end.

    Raises ``VerificationFailed`` for anything but exactly one whole file, ``UnsupportedFormat`` for one that cannot be
    read, and ``LimitExceeded`` when the archive needs more memory than allowed.
    """
    with as_file(data, job.ctx) as path:
        yield from decode_elsewhere("7z", {"path": str(path), "member": job.member}, job)
