"""A bounded pipe between the one reader of an image and one of its consumers."""

from __future__ import annotations

import threading
import time
from collections import deque

from imageport.dataplane.buffers import CHUNK_SIZE, Chunk, Chunks
from imageport.errors import ImportFailed
from imageport.importing.backlog import Backlog

#: Bytes that may wait in one pipe. Pieces are shared between pipes, so this bounds the whole fan-out.
CAPACITY = 4 * CHUNK_SIZE


class Pipe:
    """Pieces go in at one end, in one thread, and come out in order at the other, in another thread."""

    def __init__(self) -> None:
        self._pieces: deque[Chunk] = deque()
        self._waiting = 0
        self._position = 0
        self._backlog: Backlog | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._abandoned = False
        self._error: BaseException | None = None
        #: Seconds that the feeding side had to wait for this consumer.
        self.blocked = 0.0
        #: Bytes that the consumer has taken.
        self.taken = 0
        #: Since when the consumer is on its own: it took bytes or all had come (seconds of the monotonic clock).
        self.busy_since = time.monotonic()
        #: Whether the data ended with an error while the consumer was reading: what it raises then is not its fault.
        self.broken = False

    @property
    def starving(self) -> bool:
        """Whether the consumer has taken all there is and could take more at once."""
        return not (self._pieces or self._backlog or self._abandoned)

    @property
    def behind(self) -> bool:
        """Whether a consumer that still reads gets the rest of its data from a backlog."""
        return self._backlog is not None

    def put(self, piece: Chunk, *, patience: float | None = None, backlog: Backlog | None = None) -> bool:
        """Hand over *piece*, waiting for room; return False when the consumer has gone.

        A consumer that makes no room within *patience* seconds falls behind: it gets this piece and the rest of its
        data from *backlog*. Raises ``TimeoutError`` when there is none.
        """
        with self._changed:
            if self._backlog is not None or self._abandoned:
                return not self._abandoned
            if self._waiting >= CAPACITY:
                started = time.monotonic()
                room = self._changed.wait_for(
                    lambda: self._waiting < CAPACITY or self._abandoned, timeout=patience
                )
                self.blocked += time.monotonic() - started
                if not room:
                    if backlog is None:
                        raise TimeoutError
                    self._fall_behind(backlog)
                    return True
            if self._abandoned:
                return False
            self._pieces.append(piece)
            self._waiting += len(piece)
            self._position += len(piece)
            self._changed.notify_all()
            return True

    def read_later(self, backlog: Backlog) -> None:
        """Give the consumer all its data from *backlog*."""
        with self._changed:
            self._fall_behind(backlog)

    def _fall_behind(self, backlog: Backlog) -> None:
        self._backlog = backlog
        self._changed.notify_all()

    def close(self, error: BaseException | None = None) -> None:
        """End the data; with *error*, the consumer gets an error instead of the rest."""
        with self._changed:
            self._closed = True
            self.busy_since = time.monotonic()
            if error is not None and not self._abandoned:
                self._error = error
                self.broken = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Say that nobody wants another piece; a consumer that asks for one all the same gets an error."""
        with self._changed:
            self._abandoned = True
            self._pieces.clear()
            # Its file takes room on the disk as long as anybody holds it.
            self._backlog = None
            self._changed.notify_all()

    def chunks(self) -> Chunks:
        """Take the pieces out."""
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._pieces or self._closed or self._backlog or self._abandoned
                )
                self._check()
                if not self._pieces:
                    backlog = self._backlog
                    break
                piece = self._pieces.popleft()
                self._waiting -= len(piece)
                self._note(piece)
                self._changed.notify_all()
            yield piece
        if backlog is not None:
            for piece in backlog.chunks(self._position, self._check):
                self._note(piece)
                yield piece

    def _note(self, piece: Chunk) -> None:
        self.taken += len(piece)
        self.busy_since = time.monotonic()

    def _check(self) -> None:
        if self._abandoned:
            raise ImportFailed("nobody waits for this copy any more")
        if self._error is not None:
            raise ImportFailed(f"the data ended early: {self._error}") from self._error
