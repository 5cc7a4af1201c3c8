"""Files with holes: zeros are neither read nor written, and image data stays out of the page cache."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from imageport.dataplane.buffers import CHUNK_SIZE, POOL, ZERO_CHUNK, Chunk, Chunks
from imageport.errors import SourceUnavailable

#: Zeros are skipped in multiples of this many bytes.
SPARSE_BLOCK = 64 << 10
_ZERO_BLOCK = bytes(SPARSE_BLOCK)
#: Bytes that are enough to see of most blocks that they are not zero.
_GLIMPSE = 64
#: Positions, lengths and addresses of O_DIRECT are multiples of this.
_ALIGNMENT = 4096

#: Read past the page cache, but use cached bytes (RWF_DONTCACHE, Linux 6.14): bytes that are read once need no room.
_DONT_CACHE = 0x80


class SparseFile:
    """Writes an image from *start* on to a file that is open and ends there; *start* is a multiple of ``CHUNK_SIZE``.

    Blocks of zeros become holes. The page cache is left to others where the file system permits (``O_DIRECT``): an
    image is rarely read soon after, and copying it there costs more than the digests.
    """

    def __init__(self, descriptor: int, start: int = 0) -> None:
        self._descriptor = descriptor
        self._written = start
        self._pending: memoryview | None = None
        self._have = 0
        self._direct = _set_direct(descriptor, wanted=True)

    @property
    def length(self) -> int:
        """Bytes of the image so far."""
        return self._written + self._have

    @property
    def on_disk(self) -> int:
        """Bytes of the image that the system was given."""
        return self._written

    def write(self, piece: Chunk) -> None:
        """Write the next bytes. Raises ``OSError``."""
        if not (self._direct or self._have):
            write_sparse(self._descriptor, piece, self._written)
            self._written += len(piece)
        elif not self._have and (piece is ZERO_CHUNK or self._write_direct(memoryview(piece))):
            self._written += len(piece)
        else:
            self._gather(memoryview(piece))

    def finish(self) -> int:
        """Write the rest, set the length of the file, and return that."""
        if self._pending is not None:
            rest, self._pending, self._have = self._pending[: self._have], None, 0
            _set_direct(self._descriptor, wanted=False)
            write_sparse(self._descriptor, rest, self._written)
            self._written += len(rest)
        os.ftruncate(self._descriptor, self._written)
        return self._written

    def _gather(self, rest: memoryview) -> None:
        """Copy bytes to aligned memory until there is enough to write."""
        while rest:
            if self._pending is None:
                self._pending = POOL.lend()
            count = min(len(rest), CHUNK_SIZE - self._have)
            self._pending[self._have : self._have + count] = rest[:count]
            self._have += count
            rest = rest[count:]
            if self._have == CHUNK_SIZE:
                full, self._pending, self._have = self._pending, None, 0
                if not self._write_direct(full):
                    # Not even aligned memory will do, so nothing will.
                    self._direct = _set_direct(self._descriptor, wanted=False)
                    write_sparse(self._descriptor, full, self._written)
                self._written += CHUNK_SIZE

    def _write_direct(self, view: memoryview) -> bool:
        """Write *view* unless it is not aligned as the disk wants it; then nothing has changed."""
        if len(view) % _ALIGNMENT:
            return False
        done = 0
        try:
            for start, stop in nonzero_ranges(view):
                done = start
                while done < stop:
                    done += os.pwrite(self._descriptor, view[done:stop], self._written + done)
        except OSError as error:
            if error.errno == errno.EINVAL:
                return False
            raise
        return True


def _set_direct(descriptor: int, *, wanted: bool) -> bool:
    """Turn O_DIRECT on or off, and return whether it is on."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | os.O_DIRECT if wanted else flags & ~os.O_DIRECT)
    except OSError:
        return False
    return wanted


def file_chunks(path: Path, start: int = 0) -> Chunks:
    """Read *path* from *start* in pieces; where it has holes, yield ``ZERO_CHUNK`` without reading."""
    with path.open("rb", buffering=0) as file:
        before = os.fstat(file.fileno())
        yield from descriptor_chunks(file.fileno(), start)
        after = os.fstat(file.fileno())
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise SourceUnavailable(
            f"{path} was written to while it was read", hint="import it when no process writes to it"
        )


def descriptor_chunks(descriptor: int, start: int = 0) -> Chunks:
    """Read an open file as ``file_chunks`` does; others may read from it at the same time."""
    end = os.fstat(descriptor).st_size
    position = start
    while position < end:
        data = _next_data(descriptor, position, end)
        while data - position >= CHUNK_SIZE:
            yield ZERO_CHUNK
            position += CHUNK_SIZE
        if position == end:
            break
        piece = read_at(descriptor, position, end - position)
        if not piece:
            break
        position += len(piece)
        yield piece


def read_at(descriptor: int, position: int, length: int) -> memoryview:
    """Return at most *length* bytes at *position*, no more than ``CHUNK_SIZE``; fewer only at the end of the file."""
    buffer = POOL.lend()[:length]
    have = 0
    flags = _DONT_CACHE
    while have < len(buffer):
        try:
            count = os.preadv(descriptor, [buffer[have:]], position + have, flags)
        except OSError as error:
            if not flags or error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
            flags = 0
            continue
        if not count:
            break
        have += count
    return buffer[:have].toreadonly()


def _next_data(descriptor: int, position: int, end: int) -> int:
    """Return where the next bytes that are not a hole begin, *end* when there are none."""
    try:
        return os.lseek(descriptor, position, os.SEEK_DATA)
    except OSError:
        # ENXIO: only a hole is left. Anything else: the file system knows no holes, so all is data.
        return end if _knows_holes(descriptor) else position


def _knows_holes(descriptor: int) -> bool:
    try:
        os.lseek(descriptor, 0, os.SEEK_HOLE)
    except OSError:
        return False
    return True


def write_sparse(descriptor: int, piece: Chunk, position: int) -> int:
    """Write *piece* at *position*, leaving out blocks of zeros, and return the bytes that went to disk.

    The file must read as zeros from *position* on; the caller sets its final length with ``os.ftruncate``.
    """
    written = 0
    view = memoryview(piece)
    for start, stop in nonzero_ranges(piece):
        done = start
        while done < stop:
            done += os.pwrite(descriptor, view[done:stop], position + done)
        written += stop - start
    return written


def zeros_marked(chunks: Chunks) -> Chunks:
    """Replace whole pieces of zeros by ``ZERO_CHUNK``, so that those who read the pieces need not look for them."""
    for piece in chunks:
        yield ZERO_CHUNK if len(piece) == CHUNK_SIZE and _is_all_zero(piece) else piece


def _is_all_zero(piece: Chunk) -> bool:
    if piece is ZERO_CHUNK:
        return True
    view = memoryview(piece)
    return all(is_zero(view[start : start + SPARSE_BLOCK]) for start in range(0, len(view), SPARSE_BLOCK))


def nonzero_ranges(piece: Chunk) -> list[tuple[int, int]]:
    """Return where in *piece* there are blocks of ``SPARSE_BLOCK`` bytes that are not zero: starts and ends."""
    if piece is ZERO_CHUNK:
        return []
    view = memoryview(piece)
    runs: list[tuple[int, int]] = []
    for start in range(0, len(view), SPARSE_BLOCK):
        block = view[start : start + SPARSE_BLOCK]
        if is_zero(block):
            continue
        if runs and runs[-1][1] == start:
            runs[-1] = runs[-1][0], start + len(block)
        else:
            runs.append((start, start + len(block)))
    return runs


def is_zero(block: memoryview) -> bool:
    """Return whether *block*, of at most ``SPARSE_BLOCK`` bytes, holds zeros only."""
    # Comparing views goes byte by byte; comparing bytes is one memcmp.
    if block[:_GLIMPSE].tobytes().strip(b"\0"):
        return False
    return block.tobytes() == _ZERO_BLOCK[: len(block)]
