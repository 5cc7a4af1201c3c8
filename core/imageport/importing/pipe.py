"""A bounded pipe between the one reader of an image and one of its consumers."""

from __future__ import annotations

import threading
import time
from collections import deque

from imageport.data import CHUNK_SIZE, Chunks
from imageport.errors import ImportFailed

#: Bytes that may wait in one pipe. Pieces are shared between pipes, so this bounds the whole fan-out.
CAPACITY = 8 * CHUNK_SIZE


class Pipe:
    """Pieces go in at one end, in one thread, and come out in order at the other, in another thread."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._waiting = 0
        self._changed = threading.Condition()
        self._closed = False
        self._abandoned = False
        self._error: BaseException | None = None
        #: Seconds that the feeding side had to wait for this consumer.
        self.blocked = 0.0
        #: Bytes that the consumer has taken.
        self.taken = 0
        #: Whether the data ended with an error while the consumer was reading: what it raises then is not its fault.
        self.broken = False

    def put(self, piece: bytes) -> bool:
        """Hand over *piece*, waiting for room; return False when the consumer has gone."""
        with self._changed:
            if self._waiting >= CAPACITY and not self._abandoned:
                started = time.monotonic()
                self._changed.wait_for(lambda: self._waiting < CAPACITY or self._abandoned)
                self.blocked += time.monotonic() - started
            if self._abandoned:
                return False
            self._pieces.append(piece)
            self._waiting += len(piece)
            self._changed.notify_all()
            return True

    def close(self, error: BaseException | None = None) -> None:
        """End the data; with *error*, the consumer gets an error instead of the rest."""
        with self._changed:
            self._closed = True
            if error is not None and not self._abandoned:
                self._error = error
                self.broken = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """For the consumer's side: nobody will take another piece."""
        with self._changed:
            self._abandoned = True
            self._pieces.clear()
            self._changed.notify_all()

    def chunks(self) -> Chunks:
        """Take the pieces out."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces or self._closed)
                if self._error is not None:
                    raise ImportFailed(f"the data ended early: {self._error}") from self._error
                if not self._pieces:
                    return
                piece = self._pieces.popleft()
                self._waiting -= len(piece)
                self.taken += len(piece)
                self._changed.notify_all()
            yield piece
