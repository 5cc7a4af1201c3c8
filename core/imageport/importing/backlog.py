"""A backlog on disk for stores that cannot keep up, so that they do not slow down the others."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

from imageport.dataplane.buffers import CHUNK_SIZE, Chunk, Chunks
from imageport.dataplane.sparse import descriptor_chunks, read_at, write_sparse
from imageport.errors import StoreFailed

#: Seconds between two looks whether a reader that waits for more is to stop.
_PATIENCE = 0.2


class Backlog:
    """The bytes of one pass over an image, from where the first store fell behind; positions are those of the image.

    One thread appends, while any number of others read, each at its own pace.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._end = 0
        self._complete = False
        self._is_whole = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()

    @classmethod
    def of_file(cls, path: Path) -> Backlog:
        """Return a backlog that holds the whole image already."""
        backlog = cls(path)
        # A store may move the file away.
        backlog._descriptor = os.open(path, os.O_RDONLY)
        backlog._complete = backlog._is_whole = True
        return backlog

    def append(self, piece: Chunk, position: int) -> None:
        """Keep *piece*. When the disk is full, it is the readers that fail; the pass goes on."""
        with self._changed:
            if self._complete or self._error is not None:
                return
            try:
                if self._descriptor is None:
                    self._descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
                write_sparse(self._descriptor, piece, position)
            except OSError as error:
                self._error = StoreFailed(
                    f"the store is too slow, and what it has to catch up with cannot be kept: {error.strerror}",
                    hint="free space in the staging directory, or leave this store out",
                )
            self._end = position + len(piece)
            self._changed.notify_all()

    def close(self) -> None:
        """Say that nothing will be appended any more."""
        with self._changed:
            self._complete = True
            self._changed.notify_all()

    def chunks(self, position: int, check: Callable[[], None]) -> Chunks:
        """Read from *position* to the end, waiting for more; *check* may raise to stop the reader."""
        if self._is_whole and self._descriptor is not None:
            for piece in descriptor_chunks(self._descriptor, position):
                check()
                yield piece
            return
        while (found := self._wait_beyond(position, check)) is not None:
            descriptor, end = found
            length = min(CHUNK_SIZE, end - position)
            piece = read_at(descriptor, position, length)
            # Zeros at the end are not in the file.
            yield piece if len(piece) == length else piece.tobytes().ljust(length, b"\0")
            position += length

    def _wait_beyond(self, position: int, check: Callable[[], None]) -> tuple[int, int] | None:
        """Return the open file and where its bytes end, once that is beyond *position*; None at the end of all."""
        with self._changed:
            while True:
                check()
                if self._error is not None:
                    raise self._error
                if self._descriptor is not None and self._end > position:
                    return self._descriptor, self._end
                if self._complete:
                    return None
                self._changed.wait(_PATIENCE)

    def __del__(self) -> None:
        # Readers may be left behind in threads of their own; whoever lets go last closes the file.
        if self._descriptor is not None:
            os.close(self._descriptor)
