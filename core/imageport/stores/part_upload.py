"""One upload in parts: the part that fills, and those on their way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Final

from imageport.context import Context
from imageport.dataplane.buffers import Chunk
from imageport.stores.in_flight import InFlight
from imageport.values import Location

#: Sends a part, by its number from 1 and its offset, and returns its receipt; gives up once the event is set.
Send = Callable[[int, int, bytearray, threading.Event], str]

#: Bytes of parts in memory above which fewer of them are in flight.
_MEMORY: Final = 256 << 20

#: Part sizes that grow with the image are multiples of this.
_STEP: Final = 1 << 20


def sizes(size: int | None, part_size: int, in_flight: int, max_parts: int) -> tuple[int, int]:
    """Return the bytes of a part, and how many of them may be in flight, for an image of *size* bytes."""
    needed = -(-(size or 0) // max_parts)
    if needed > part_size:
        part_size = -(-needed // _STEP) * _STEP
    return part_size, max(1, min(in_flight, _MEMORY // part_size - 1))


class PartUpload:
    """An upload to *location* of an image of *size* bytes, None where that is not known.

    Parts have *part_size* bytes, and at most *in_flight* of them are on their way. Buffers are used again: there are
    *in_flight* + 1 of them. Methods raise the first error of *send*.
    """

    def __init__(
        self,
        location: Location,
        send: Send,
        part_size: int,
        in_flight: int,
        *,
        ctx: Context,
        size: int | None,
    ) -> None:
        self.location = location
        #: The digests of the image, complete once it was read.
        self.digests = ctx.digests
        #: Bytes that were written.
        self.length = 0
        self._send = send
        self._part_size = part_size
        self._part = bytearray()
        self._have = 0
        self._receipts: list[Future[str]] = []
        self._flight = InFlight(in_flight)
        self._stopped = threading.Event()
        self._acknowledged = _Acknowledged(ctx, size)

    @property
    def count(self) -> int:
        """Parts that were begun to send."""
        return len(self._receipts)

    @property
    def receipts(self) -> Sequence[str]:
        """The receipts of all parts, in order."""
        return [receipt.result() for receipt in self._receipts]

    def write(self, chunk: Chunk) -> None:
        """Copy the next bytes into the part; wait while it is full and as many as allowed are on their way."""
        rest = memoryview(chunk)
        while rest:
            if not self._part:
                self._part = self._acknowledged.buffer() or bytearray(self._part_size)
            count = min(len(rest), self._part_size - self._have)
            with memoryview(self._part) as part:  # a bytearray would copy the bytes twice
                part[self._have : self._have + count] = rest[:count]
            rest = rest[count:]
            self._have += count
            self.length += count
            if self._have == self._part_size:
                self._submit()

    def finish(self) -> None:
        """Send the last part, which is empty when nothing was written, and wait for all."""
        if self._have or not self._receipts:
            del self._part[self._have :]
            self._submit()
        self._flight.drain()
        self._flight.close()

    def stop(self) -> None:
        """Send no further part, and wait for those on their way: the server must not get them after the end."""
        self._stopped.set()
        self._flight.close()

    def _submit(self) -> None:
        part, self._part, self._have = self._part, bytearray(), 0
        send = partial(self._send, self.count + 1, self.length - len(part), part, self._stopped)
        self._receipts.append(self._flight.submit(partial(self._acknowledged.by, send, part)))


class _Acknowledged:
    """Counts the bytes that the server has taken, and keeps the buffers they were in for further parts."""

    def __init__(self, ctx: Context, size: int | None) -> None:
        self._ctx = ctx
        self._size = size
        self._done = 0
        self._spare: list[bytearray] = []
        self._lock = threading.Lock()

    def buffer(self) -> bytearray | None:
        """Return the buffer of a part that was sent, if there is one."""
        with self._lock:
            return self._spare.pop() if self._spare else None

    def by(self, send: Callable[[], str], part: bytearray) -> str:
        """Send a part, and report progress."""
        receipt = send()
        with self._lock:
            self._done += len(part)
            self._ctx.progress(self._done, self._size)
            self._spare.append(part)
        return receipt
