"""The bytes of an image: a stream that can be read once, or a file."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from imageport.errors import SourceUnavailable

if TYPE_CHECKING:
    from typing_extensions import Buffer

#: Bytes in one piece of a stream; only the last piece may be shorter.
CHUNK_SIZE = 1 << 20

#: Pieces of a stream that are known to be zero are this very object, so that nobody has to look at them again.
ZERO_CHUNK = bytes(CHUNK_SIZE)

#: Zeros are skipped in multiples of this many bytes.
SPARSE_BLOCK = 64 << 10
_ZERO_BLOCK = bytes(SPARSE_BLOCK)

#: The bytes of an image in order, in pieces.
Chunks = Iterator[bytes]


class ImageData:
    """The bytes of an image, in order.

    A stream is opened when it is first read or peeked at, and can be read once. A file (``path`` is set) can be read
    as often as wanted. ``size`` is the exact number of bytes, or None when only the end will tell.
    """

    def __init__(
        self, open_chunks: Callable[[], Chunks], *, size: int | None = None, path: Path | None = None
    ) -> None:
        self.size = size
        self.path = path
        self.finished = False
        self._open = open_chunks
        self._chunks: Chunks | None = None
        self._taken = False
        self._head = b""

    @classmethod
    def from_chunks(cls, open_chunks: Callable[[], Chunks], *, size: int | None = None) -> ImageData:
        """Wrap a function that starts the stream; nothing is read before somebody asks for bytes."""
        return cls(open_chunks, size=size)

    @classmethod
    def from_file(cls, path: Path) -> ImageData:
        """Wrap a regular file; holes are not read from disk."""
        return cls(lambda: file_chunks(path), size=path.stat().st_size, path=path)

    def through(self, step: Callable[[Chunks], Chunks], *, size: int | None = None) -> ImageData:
        """Return the stream that *step* makes of this one; *size* is its length if known beforehand."""
        return ImageData(lambda: step(self.chunks()), size=size)

    def peek(self, length: int) -> bytes:
        """Return the first *length* bytes (fewer when the data is shorter) without consuming them."""
        if self.path is not None:
            with self.path.open("rb") as file:
                return file.read(length)
        if self._taken:
            raise RuntimeError("this stream is being read already; peek before reading")
        if self._chunks is None:
            self._chunks = self._open()
        pieces = [self._head]
        have = len(self._head)
        while have < length and (piece := next(self._chunks, None)) is not None:
            pieces.append(piece)
            have += len(piece)
        self._head = b"".join(pieces)
        return self._head[:length]

    def chunks(self) -> Chunks:
        """Iterate over the bytes in pieces of at most a few MiB.

        Raises whatever the source raises: an error here is an error of the import, not of the reader.
        """
        if self.path is not None:
            return self._noting_the_end(self._open())
        if self._taken:
            raise RuntimeError("this stream was read already; use ctx.spool(data) to read it more than once")
        self._taken = True
        return self._noting_the_end(self._stream())

    def _stream(self) -> Chunks:
        chunks = self._chunks if self._chunks is not None else self._open()
        head, self._head = self._head, b""
        try:
            for start in range(0, len(head), CHUNK_SIZE):
                yield head[start : start + CHUNK_SIZE]
            del head
            yield from chunks
        finally:
            if hasattr(chunks, "close"):
                chunks.close()

    def _noting_the_end(self, chunks: Chunks) -> Chunks:
        yield from chunks
        self.finished = True

    def reader(self) -> io.BufferedReader:
        """Return the bytes as a binary file object that cannot seek (for libraries that want one)."""
        return io.BufferedReader(_ChunkReader(self.chunks()), CHUNK_SIZE)

    def drop(self) -> None:
        """Let go of a stream that nobody will read to its end: connections and files behind it are closed."""
        if self.path is None and not self._taken and self._chunks is not None:
            for _ in self.chunks():
                break


class _ChunkReader(io.RawIOBase):
    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer) -> int:
        while not self._rest:
            piece = next(self._chunks, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        target = memoryview(buffer).cast("B")
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


def file_chunks(path: Path, start: int = 0) -> Chunks:
    """Read *path* from *start* in pieces; where it has holes, yield ``ZERO_CHUNK`` without reading."""
    with path.open("rb", buffering=0) as file:
        descriptor = file.fileno()
        end = os.fstat(descriptor).st_size
        position = start
        while position < end:
            data = _next_data(descriptor, position, end)
            while data - position >= CHUNK_SIZE:
                yield ZERO_CHUNK
                position += CHUNK_SIZE
            if position == end:
                break
            piece = os.pread(descriptor, CHUNK_SIZE, position)
            if not piece:
                break
            position += len(piece)
            yield piece
        if os.fstat(descriptor).st_size != end:
            raise SourceUnavailable(
                f"{path} changed its size while it was read", hint="import it when nobody writes to it"
            )


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


def write_sparse(descriptor: int, piece: bytes, position: int) -> int:
    """Write *piece* at *position*, leaving out blocks of zeros, and return the bytes that went to disk.

    The file must read as zeros from *position* on; the caller sets its final length with ``os.ftruncate``.
    """
    if piece is ZERO_CHUNK:
        return 0
    written = 0
    view = memoryview(piece)
    start = 0
    while start < len(piece):
        stop = start
        while stop < len(piece) and piece[stop : stop + SPARSE_BLOCK] != _ZERO_BLOCK[: len(piece) - stop]:
            stop += SPARSE_BLOCK
        stop = min(stop, len(piece))
        while start < stop:
            count = os.pwrite(descriptor, view[start:stop], position + start)
            start += count
            written += count
        start += SPARSE_BLOCK
    return written
