"""Space for scratch data: checked before bytes are written, and reported when it runs out."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imageport.errors import ImportFailed, LimitExceeded
from imageport.limits import format_size

#: Most bytes of a disk that are left to others, such as the catalog; of a small disk it is a hundredth.
_RESERVE = 64 << 20

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REMEDY = "free space there, or set staging.directory in the site file to a larger disk"


def space_taken(path: Path) -> int:
    """Return the bytes that the file at *path* takes on disk; its holes take none."""
    status = path.stat()
    return min(status.st_size, status.st_blocks * 512)


def free_space(folder: Path) -> int | None:
    """Return the bytes that scratch data may take on the disk of *folder* now, or None when that is unknown.

    Nothing is reserved: what others write at the same time may still fill the disk.
    """
    with writing_to(folder):
        disk = os.statvfs(folder)
    size = disk.f_blocks * disk.f_frsize
    if not size:
        return None  # some network file systems do not report it
    return max(0, disk.f_bavail * disk.f_frsize - min(_RESERVE, size // 100))


def require_space(folder: Path, needed: int) -> None:
    """Raise ``LimitExceeded`` when *needed* bytes do not fit on the disk of *folder* now."""
    free = free_space(folder)
    if free is not None and needed > free:
        raise LimitExceeded(
            f"{format_size(needed)} ({needed} bytes) do not fit in {folder}: "
            f"{format_size(free)} ({free} bytes) are free",
            hint=_REMEDY,
        )


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Raise ``LimitExceeded`` for a full disk, ``ImportFailed`` for other errors of the operating system."""
    try:
        yield
    except OSError as error:
        message = f"cannot write scratch data to {folder}: {error.strerror}"
        if error.errno in _FULL:
            raise LimitExceeded(message, hint=_REMEDY) from error
        raise ImportFailed(
            message, hint="make it writable, or set staging.directory in the site file"
        ) from error
