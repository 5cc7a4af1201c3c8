"""The bytes of an image: a stream that can be read once, or a file."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from imageport.cleaning import logged
from imageport.dataplane.buffers import CHUNK_SIZE, Chunk, Chunks
from imageport.dataplane.digests import PassingDigest
from imageport.dataplane.sparse import file_chunks

if TYPE_CHECKING:
    from typing_extensions import Buffer


class ImageData:
    """The bytes of an image, in order.

    A stream is opened when it is first read or peeked at, and can be read once. A file (``path`` is set) can be read
    as often as wanted. ``size`` is the exact number of bytes, or None when it is not known before the end.
    ``backing_file`` is a file that holds the same bytes, if there is one: a store may clone it where the file system
    can, or move it when ``ctx.take_file`` permits, but reads the stream to its end all the same. ``name`` is the name
    of the file at the source, set by a method: the default for the name of the image.
    """

    def __init__(
        self,
        open_chunks: Callable[[], Chunks],
        *,
        size: int | None = None,
        path: Path | None = None,
        backing_file: Path | None = None,
        verified: bool = False,
    ) -> None:
        self.size = size
        self.path = path
        self.backing_file = backing_file or path
        self.name: str | None = None
        self._digests: dict[str, PassingDigest] = {}
        self._watched: ImageData | None = None
        self._verified = verified
        self.finished = False
        self._open = open_chunks
        self._chunks: Chunks | None = None
        self._taken = False
        self._head: list[Chunk] = []

    @property
    def original(self) -> ImageData:
        """The data whose bytes these are: this one, unless it only watches another."""
        return self._watched.original if self._watched else self

    @property
    def verified(self) -> bool:
        """Whether an expected digest of exactly these bytes was compared and matched; false before the last byte."""
        return self._verified or (self._watched is not None and self._watched.verified)

    @classmethod
    def from_chunks(cls, open_chunks: Callable[[], Chunks], *, size: int | None = None) -> ImageData:
        """Wrap a function that starts the stream; nothing is read before the first bytes are requested."""
        return cls(open_chunks, size=size)

    @classmethod
    def from_file(cls, path: Path, *, verified: bool = False) -> ImageData:
        """Wrap a regular file; holes are not read from disk.

        *verified* is that of the data which the file is a copy of.
        """
        return cls(lambda: file_chunks(path), size=path.stat().st_size, path=path, verified=verified)

    def through(self, step: Callable[[Chunks], Chunks], *, size: int | None = None) -> ImageData:
        """Return the stream that *step* makes of this one; *size* is its length if known beforehand."""
        return ImageData(lambda: step(self.chunks()), size=size)

    def tapped(self, step: Callable[[Chunks], Chunks]) -> ImageData:
        """Return this as a stream that *step* looks at and passes on as it is."""
        data = ImageData(lambda: step(self.chunks()), size=self.size, backing_file=self.backing_file)
        data._watched = self
        return data

    def digested(self, name: str, check: Callable[[str], None] | None = None) -> ImageData:
        """Return this as a stream whose digest is computed while it passes; *name* is that of hashlib.

        *check* compares it after the last byte, in hexadecimal with lower case, with the expected one; its error ends
        the stream, and otherwise the bytes are ``verified``. Where the same digest of the same bytes is wanted again,
        by another step or for the image record, it is not computed again.
        """
        known = self._digests.get(name)
        digest = known or PassingDigest(name)

        def pass_on(chunks: Chunks) -> Chunks:
            yield from chunks if known else digest.beside(chunks)
            if check:
                check(digest.value)
                data._verified = True

        data = self.tapped(pass_on)
        data._digests = {**self._digests, name: digest}
        return data

    def counted(self, step: Callable[[Chunks], Chunks]) -> ImageData:
        """Return this as ``tapped`` does, for a *step* of the core that is sure to change nothing: digests stay known.

        Plugins use ``tapped``: no digest must be recorded of other bytes than those that are stored.
        """
        data = self.tapped(step)
        data._digests = self._digests
        return data

    @property
    def digests(self) -> frozenset[str]:
        """Names of the digests that are computed of exactly these bytes while they are read."""
        return frozenset(self._digests)

    def digest(self, name: str) -> str:
        """Return one of the ``digests`` in hexadecimal. Raises ``RuntimeError`` before the last byte was read."""
        return self._digests[name].value

    def peek(self, length: int) -> bytes:
        """Return the first *length* bytes (fewer when the data is shorter) without consuming them."""
        if self.path is not None:
            with self.path.open("rb") as file:
                return file.read(length)
        if self._taken:
            raise RuntimeError("this stream is being read already; peek before reading")
        if self._chunks is None:
            self._chunks = self._open()
        have = sum(map(len, self._head))
        while have < length and (piece := next(self._chunks, None)) is not None:
            self._head.append(piece)
            have += len(piece)
        start = b""
        for piece in self._head:
            start += piece[: length - len(start)]
        return start

    def chunks(self) -> Chunks:
        """Iterate over the bytes in pieces of at most a few MiB: ``bytes``, or read-only views of memory.

        Raises the errors of the source: an error here is an error of the import, not of the reader.
        """
        if self.path is not None:
            return self._noting_the_end(self._open())
        if self._taken:
            raise RuntimeError("this stream was read already; use ctx.spool(data) to read it more than once")
        self._taken = True
        return self._noting_the_end(self._stream())

    def _stream(self) -> Chunks:
        chunks = self._chunks if self._chunks is not None else self._open()
        try:
            while self._head:
                yield self._head.pop(0)
            yield from chunks
        finally:
            if hasattr(chunks, "close"):
                with logged("close the stream of the image"):
                    chunks.close()

    def _noting_the_end(self, chunks: Chunks) -> Chunks:
        yield from chunks
        self.finished = True

    def reader(self) -> io.BufferedReader:
        """Return the bytes as a binary file object that cannot seek (for libraries that want one)."""
        return io.BufferedReader(_ChunkReader(self.chunks()), CHUNK_SIZE)

    def close(self) -> None:
        """Close a stream that will not be read to its end, with the connections and files behind it."""
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
