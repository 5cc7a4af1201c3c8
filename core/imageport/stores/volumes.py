"""Volumes, which are written and read at any offset: what a store supplies, and the writer that leaves zeros out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Protocol

from imageport.dataplane.buffers import CHUNK_SIZE, POOL, ZERO_CHUNK, Chunk
from imageport.dataplane.sparse import nonzero_ranges
from imageport.stores.in_flight import InFlight

#: A volume of unknown size grows by so many bytes, or by an eighth.
_GROWTH = 256 << 20


class Volume(Protocol):
    """An open volume. Offsets and lengths are bytes; calls of ``read`` and ``write`` may run at the same time."""

    def write(self, offset: int, data: Chunk) -> None:
        """Write *data*, at most ``extent`` bytes, at *offset*."""
        ...

    def resize(self, size: int) -> None:
        """Change the size; no write is running. Raises ``StoreFailed`` where sizes are fixed."""
        ...

    def flush(self) -> None:
        """Make everything that was written durable."""
        ...

    def data_ranges(self) -> Iterable[tuple[int, int]]:
        """Yield offset and length of the ranges that are not zero, in order; one range of everything will do."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly *length* bytes at *offset*."""
        ...

    def close(self) -> None:
        """Close the volume, whether it is complete or not."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeFacts:
    """A volume as its store sees it: ``size`` in bytes, and the ``mark`` that ``seal`` gave it, or None."""

    size: int
    mark: str | None = None
    modified: datetime | None = None


class VolumeWriter:
    """Writes the bytes of an image in order to *volume*, which has *size* bytes now.

    No write is longer than *extent* or crosses a multiple of it, and at most *in_flight* are made at the same time,
    each by *attempt*. Blocks of zeros are left out. No more than *in_flight* and two extents are in memory.
    """

    def __init__(
        self,
        volume: Volume,
        size: int,
        extent: int,
        in_flight: int,
        attempt: Callable[[Callable[[], None]], None],
    ) -> None:
        self._volume = volume
        self._size = size
        self._extent = min(extent, CHUNK_SIZE)
        self._flight = InFlight(in_flight)
        self._attempt = attempt
        self._position = 0
        self._gathered: memoryview | None = None
        self._have = 0
        self._closed = False

    def write(self, chunk: Chunk) -> None:
        """Begin to write the next bytes. Raises the errors of all writes before."""
        if chunk is ZERO_CHUNK and not self._have:
            self._position += len(chunk)
            return
        rest = memoryview(chunk)
        while rest:
            room = self._extent - (self._position + self._have) % self._extent
            count = min(room, len(rest))
            if self._have or count < room:
                self._gather(rest[:count])
            else:
                self._send(rest[:count])
            if self._have and count == room:
                self._send_gathered()
            rest = rest[count:]

    def finish(self) -> None:
        """Write the rest, give the volume the size of the image, flush and close it."""
        self._send_gathered()
        self._flight.drain()
        if self._size != self._position:
            self._volume.resize(self._position)
        self._attempt(self._volume.flush)
        self.close()

    def close(self) -> None:
        """Wait for the writes that are being made, and close the volume."""
        if not self._closed:
            self._closed = True
            self._flight.close()
            self._volume.close()

    def _gather(self, part: memoryview) -> None:
        if self._gathered is None:
            self._gathered = POOL.lend()
        self._gathered[self._have : self._have + len(part)] = part
        self._have += len(part)

    def _send_gathered(self) -> None:
        if self._gathered is not None:
            full, self._gathered, self._have = self._gathered[: self._have].toreadonly(), None, 0
            self._send(full)

    def _send(self, data: memoryview) -> None:
        for start, stop in nonzero_ranges(data):
            if self._position + stop > self._size:
                self._grow(self._position + stop)
            write = partial(self._volume.write, self._position + start, data[start:stop])
            self._flight.submit(partial(self._attempt, write))
        self._position += len(data)

    def _grow(self, size: int) -> None:
        self._flight.drain()
        self._size = max(size, self._size + max(_GROWTH, self._size // 8))
        self._volume.resize(self._size)


def reads(volume: Volume, size: int) -> Iterator[Callable[[], Chunk]]:
    """Yield calls that return the *size* bytes of *volume* in order; ranges that hold no data are not read."""
    position = 0
    for offset, length in chain(volume.data_ranges(), [(size, 0)]):
        start, end = min(offset, size), min(offset + length, size)
        while position < start:
            hole = min(start - position, CHUNK_SIZE)
            yield partial(_zeros, hole)
            position += hole
        while position < end:
            count = min(end - position, CHUNK_SIZE - position % CHUNK_SIZE)
            yield partial(volume.read, position, count)
            position += count


def _zeros(length: int) -> Chunk:
    return ZERO_CHUNK if length == CHUNK_SIZE else memoryview(ZERO_CHUNK)[:length]
