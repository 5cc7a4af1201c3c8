"""Bytes of images for tests, how they were read, and how they compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from imageport.data import ImageData
from imageport.dataplane.buffers import Chunk, Chunks
from imageport.testing.clauses import BrokenClause


class Stream:
    """A stream of *chunks* that notes whether it was begun, read to its end, and closed; it may raise *error* there.

    *at_each* is called before each chunk with the number of those before.
    """

    def __init__(
        self, *chunks: Chunk, error: BaseException | None = None, at_each: Callable[[int], None] | None = None
    ) -> None:
        self._at_each = at_each or (lambda _: None)
        self.begun = 0
        self.ended = False
        self.closed = False
        self._chunks = chunks
        self._error = error

    @property
    def content(self) -> bytes:
        """All bytes of the stream."""
        return joined(self._chunks)

    def data(self, *, with_size: bool = True) -> ImageData:
        """Return the stream as the data of an image, whose size is known beforehand or not."""
        size = sum(map(len, self._chunks)) if with_size else None
        return ImageData.from_chunks(self._read, size=size)

    def _read(self) -> Chunks:
        self.begun += 1
        try:
            for count, chunk in enumerate(self._chunks):
                self._at_each(count)
                yield chunk
            if self._error is not None:
                raise self._error
            self.ended = True
        finally:
            self.closed = True


def files_below(folder: Path) -> list[str]:
    """Return the paths of all files below *folder*, hidden ones included, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def joined(chunks: Iterable[Chunk]) -> bytes:
    """Return *chunks* as one."""
    return b"".join(chunks)


def require_equal(found: bytes, expected: bytes) -> None:
    """Raise ``AssertionError``, with the first difference, unless both are equal.

    pytest would compare megabytes line by line for its message, which takes minutes.
    """
    if found == expected:
        return
    alike = next((i for i, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]), None)
    where = "one ends early" if alike is None else f"they differ from byte {alike} on"
    raise BrokenClause(f"{len(found)} bytes were read, {len(expected)} expected; {where}")
