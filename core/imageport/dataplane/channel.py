"""A bounded channel between the reader of an image and one consumer, with a spill file for consumers that lag."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from imageport.dataplane.buffers import CHUNK_SIZE, Chunk, Chunks
from imageport.dataplane.sparse import descriptor_chunks, read_at, write_sparse
from imageport.errors import ImportFailed, StoreFailed

#: Bytes that may wait in one channel. Chunks are shared between channels, so this bounds the whole fan-out.
CAPACITY = 4 * CHUNK_SIZE

#: Seconds between two looks whether a consumer that waits for the spill file has to stop.
_PATIENCE = 0.2


class Channel:
    """Chunks go in at one end, in one thread, and come out in order at the other, in another thread."""

    def __init__(self) -> None:
        self._chunks: deque[Chunk] = deque()
        self._spill: Spill | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._abandoned = False
        self._error: BaseException | None = None
        #: Seconds that the feeding side had to wait for this consumer.
        self.blocked = 0.0
        #: Seconds of these in which another consumer was idle.
        self.lag = 0.0
        #: Bytes that the consumer has taken.
        self.taken = 0
        #: When the consumer last took bytes, or when all of them had come (seconds of the monotonic clock).
        self.busy_since = time.monotonic()

    @property
    def idle(self) -> bool:
        """True when the consumer has taken all there is and could take more at once."""
        return not (self._chunks or self._spill or self._abandoned)

    @property
    def spilled(self) -> bool:
        """True when a consumer that still reads gets the rest of its data from a spill file."""
        return self._spill is not None

    @property
    def broken(self) -> bool:
        """True when the data ended with an error while the consumer was reading: its error is not its fault."""
        return self._error is not None

    def put(self, chunk: Chunk, *, patience: float | None = None, spill: Spill | None = None) -> bool:
        """Pass *chunk* on, waiting for room; return False when the consumer has gone.

        A consumer that makes no room within *patience* seconds gets this chunk and the rest of its data from *spill*.
        Raises ``TimeoutError`` when there is no spill file.
        """
        with self._changed:
            if self._spill is not None or self._abandoned:
                return not self._abandoned
            if not self._has_room():
                started = time.monotonic()
                room = self._changed.wait_for(self._has_room, timeout=patience)
                self.blocked += time.monotonic() - started
                if not room:
                    if spill is None:
                        raise TimeoutError
                    self._spill = spill
                    self._changed.notify_all()
                    return True
            if self._abandoned:
                return False
            self._chunks.append(chunk)
            self._changed.notify_all()
            return True

    def _has_room(self) -> bool:
        return self._abandoned or sum(map(len, self._chunks)) < CAPACITY

    def read_from(self, spill: Spill) -> None:
        """Give the consumer all its data from *spill*."""
        with self._changed:
            self._spill = spill
            self._changed.notify_all()

    def close(self, error: BaseException | None = None) -> None:
        """End the data; with *error*, the consumer gets an error instead of the rest."""
        with self._changed:
            self._closed = True
            self.busy_since = time.monotonic()
            if error is not None and not self._abandoned:
                self._error = error
            self._changed.notify_all()

    def abandon(self) -> None:
        """Take no more data for the consumer; when it asks for more, it gets an error."""
        with self._changed:
            self._abandoned = True
            self._chunks.clear()
            # Its file takes room on the disk as long as there is a reference to it.
            self._spill = None
            self._changed.notify_all()

    def chunks(self) -> Chunks:
        """Take the chunks out."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._chunks or self._closed or self._spill or self._abandoned)
                self._check()
                if not self._chunks:
                    spill = self._spill
                    break
                chunk = self._chunks.popleft()
                self._note(chunk)
                self._changed.notify_all()
            yield chunk
        if spill is not None:
            for chunk in spill.chunks(self.taken, self._check):
                self._note(chunk)
                yield chunk

    def _note(self, chunk: Chunk) -> None:
        self.taken += len(chunk)
        self.busy_since = time.monotonic()

    def _check(self) -> None:
        if self._abandoned:
            raise ImportFailed("this copy was abandoned")
        if self._error is not None:
            raise ImportFailed(f"the data ended early: {self._error}") from self._error


class Spill:
    """The bytes of one pass over an image, from where the first consumer spilled; positions are those of the image.

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
    def of_file(cls, path: Path) -> Spill:
        """Return a spill file that holds the whole image already."""
        spill = cls(path)
        # A store may move the file away.
        spill._descriptor = os.open(path, os.O_RDONLY)
        spill._complete = spill._is_whole = True
        return spill

    def append(self, chunk: Chunk, position: int) -> None:
        """Keep *chunk*. When the disk is full, it is the readers that fail; the pass goes on."""
        with self._changed:
            if self._complete or self._error is not None:
                return
            try:
                if self._descriptor is None:
                    self._descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
                write_sparse(self._descriptor, chunk, position)
            except OSError as error:
                self._error = StoreFailed(
                    f"the store is too slow, and what it has to catch up with cannot be kept: {error.strerror}",
                    hint="free space in the staging directory, or leave this store out",
                )
            self._end = position + len(chunk)
            self._changed.notify_all()

    def close(self) -> None:
        """End the data: readers stop where it ends."""
        with self._changed:
            self._complete = True
            self._changed.notify_all()

    def chunks(self, position: int, check: Callable[[], None]) -> Chunks:
        """Read from *position* to the end, waiting for more; *check* may raise to stop the reader."""
        if self._is_whole and self._descriptor is not None:
            for chunk in descriptor_chunks(self._descriptor, position):
                check()
                yield chunk
            return
        while (found := self._wait_beyond(position, check)) is not None:
            descriptor, end = found
            length = min(CHUNK_SIZE, end - position)
            chunk = read_at(descriptor, position, length)
            # Zeros at the end are not in the file.
            yield chunk if len(chunk) == length else chunk.tobytes().ljust(length, b"\0")
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
        # Consumers may be left behind in their threads; the last reference closes the file.
        if self._descriptor is not None:
            os.close(self._descriptor)
