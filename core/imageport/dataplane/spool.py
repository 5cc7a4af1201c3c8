"""Spool image data to scratch files: check the room beforehand, and report a full disk in plain words."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from imageport.dataplane.buffers import Chunk, Chunks
from imageport.dataplane.sparse import SparseFile
from imageport.errors import ImportFailed, LimitExceeded
from imageport.limits import format_size

#: Most bytes of a disk that are left to other programs, such as the catalog; of a small disk it is a hundredth.
_RESERVE = 64 << 20

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_REMEDY = "free space there, or set staging.directory in the site file to a larger disk"


def _ignore(_count: int) -> None:
    pass


def write_spool(
    chunks: Chunks,
    descriptor: int,
    folder: Path,
    *,
    start: int = 0,
    needed: int | None = None,
    progress: Callable[[int], None] = _ignore,
    written: Callable[[int], None] = _ignore,
) -> int:
    """Write *chunks* to the open file *descriptor* in *folder* and return its length; zeros become holes.

    The first *start* bytes, a multiple of ``CHUNK_SIZE``, are in the file already: *chunks* repeat them. *needed* is
    the number of bytes to be written if it is known. *progress* is called with the bytes taken from *chunks*, *written*
    with those that the file system has got. Raises ``LimitExceeded`` before the first byte when *needed* bytes do not
    fit, and later when the disk is full, ``ImportFailed`` for other errors of the disk, and the errors of *chunks*.
    """
    spool = SpoolFile(descriptor, folder, start=start, needed=needed)
    position = 0
    for piece in chunks:
        position += len(piece)
        spool.add(piece, position)
        with writing_to(folder):
            written(spool.on_disk)
        progress(position)
    return spool.finish()


class SpoolFile:
    """A scratch file while it is written to the open file *descriptor* in *folder*, from *start* on; zeros are holes.

    Raises ``LimitExceeded`` when *needed* bytes, if they are known, do not fit or the disk is full, ``ImportFailed``
    for other errors of the disk.
    """

    def __init__(self, descriptor: int, folder: Path, *, start: int = 0, needed: int | None = None) -> None:
        if needed is not None:
            require_space(folder, needed)
        self._folder = folder
        self._file = SparseFile(descriptor, start)

    @property
    def on_disk(self) -> int:
        """Bytes that the file system was given."""
        return self._file.on_disk

    def add(self, piece: Chunk, end: int) -> int:
        """Write what is missing of *piece*, which ends at position *end*, and return the bytes that were."""
        missing = min(len(piece), max(0, end - self._file.length))
        if missing:
            with writing_to(self._folder):
                self._file.write(piece if missing == len(piece) else memoryview(piece)[-missing:])
        return missing

    def finish(self) -> int:
        """Write the rest, and return the length of the file."""
        with writing_to(self._folder):
            return self._file.finish()


def space_taken(path: Path) -> int:
    """Return the bytes that the file at *path* takes on disk; its holes take none."""
    status = path.stat()
    return min(status.st_size, status.st_blocks * 512)


def free_space(folder: Path) -> int | None:
    """Return the bytes that scratch data may take on the disk of *folder* now, or None when that is unknown.

    Nothing is reserved: other programs that write at the same time may still fill the disk.
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
    """Report a full disk as ``LimitExceeded``, other errors of the operating system as ``ImportFailed``."""
    try:
        yield
    except OSError as error:
        message = f"cannot write scratch data to {folder}: {error.strerror}"
        if error.errno in _FULL:
            raise LimitExceeded(message, hint=_REMEDY) from error
        raise ImportFailed(
            message, hint="make it writable, or set staging.directory in the site file"
        ) from error
