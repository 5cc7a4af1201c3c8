"""Hand parts of an image to a parser, out of a stream that passes once or out of a file.

A parser asks for a region; its content makes it ask for others. A file gives them in any order. A stream gives regions
ahead, and those in its start, as far as that is kept.
"""

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from imageport.dataplane.buffers import Chunk

#: Takes the bytes of a region, None when it has passed already, or, with ``partial``, fewer at the end of the image.
Take = Callable[[bytes | None], None]


class Regions(Protocol):
    """Where a parser asks for regions."""

    def want(self, offset: int, length: int, take: Take, *, partial: bool = False) -> None:
        """Call *take* with the *length* bytes at *offset* once they are there; with *partial* also with fewer.

        A negative offset counts from the end; only files have one. A region behind the end is never taken.
        """

    def want_each(self, places: Iterable[tuple[int, Take]], length: int) -> None:
        """Want a region of *length* bytes at each of the *places*, one after the other.

        They are in ascending order. Memory does not grow with their number.
        """


@dataclass(slots=True, order=True)
class _Region:
    offset: int
    number: int
    length: int = field(compare=False)
    take: Take = field(compare=False)
    partial: bool = field(compare=False, default=False)
    following: Iterator[tuple[int, Take]] = field(compare=False, default_factory=lambda: iter(()))
    data: bytearray = field(compare=False, default_factory=bytearray)

    @property
    def missing(self) -> int:
        return self.length - len(self.data)


class StreamRegions:
    """Regions of a stream, of whose start *keep* bytes stay available."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._wanted: list[_Region] = []
        self._begun: list[_Region] = []
        self._numbers = itertools.count()
        self._head = bytearray()
        self._position = 0

    def want(self, offset: int, length: int, take: Take, *, partial: bool = False) -> None:
        """See ``Regions``."""
        self._accept(_Region(offset, next(self._numbers), length, take, partial))

    def want_each(self, places: Iterable[tuple[int, Take]], length: int) -> None:
        """See ``Regions``."""
        self._go_on(iter(places), length)

    def feed(self, piece: Chunk) -> None:
        """Take the next bytes of the stream."""
        start, end = self._position, self._position + len(piece)
        begun, self._begun = self._begun, []
        for region in begun:
            self._fill(region, piece, start)
        while self._wanted and self._wanted[0].offset < end:
            self._fill(heapq.heappop(self._wanted), piece, start)
        if start < self._keep:
            self._head += piece[: self._keep - start]
        self._position = end

    def finish(self) -> None:
        """Hand over the existing part of the regions that reach behind the end and may."""
        for region in (*self._begun, *self._wanted):
            if region.partial:
                region.take(bytes(region.data))

    def _go_on(self, places: Iterator[tuple[int, Take]], length: int) -> None:
        for offset, take in places:
            region = _Region(offset, next(self._numbers), length, take, following=places)
            if not self._accept(region):
                return

    def _accept(self, region: _Region) -> bool:
        """Queue the region, or take it now; return whether it is done."""
        if region.offset < self._position:
            region.data += self._head[max(0, region.offset) : max(0, region.offset + region.length)]
            if region.missing and (region.offset < 0 or len(self._head) < self._position):
                region.take(None)
                return True
        if region.missing:
            heapq.heappush(self._wanted, region)
            return False
        region.take(bytes(region.data))
        return True

    def _fill(self, region: _Region, piece: Chunk, start: int) -> None:
        begin = region.offset + len(region.data) - start
        region.data += piece[begin : begin + region.missing]
        if region.missing:
            self._begun.append(region)
        else:
            region.take(bytes(region.data))
            self._go_on(region.following, region.length)


class FileRegions:
    """Regions of a file that is open for reading as *descriptor*; the newest wish is fulfilled first."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._size = os.fstat(descriptor).st_size
        self._wanted: list[tuple[Iterator[tuple[int, Take]], int, bool]] = []

    def want(self, offset: int, length: int, take: Take, *, partial: bool = False) -> None:
        """See ``Regions``."""
        self._wanted.append((iter([(offset, take)]), length, partial))

    def want_each(self, places: Iterable[tuple[int, Take]], length: int) -> None:
        """See ``Regions``."""
        self._wanted.append((iter(places), length, False))

    def finish(self) -> None:
        """Read all requested regions, and those that are requested because of them."""
        while self._wanted:
            places, length, partial = self._wanted[-1]
            if (place := next(places, None)) is None:
                self._wanted.pop()
                continue
            offset, take = place
            offset += self._size if offset < 0 else 0
            there = max(0, min(length, self._size - offset)) if offset >= 0 else 0
            if there == length or partial:
                take(os.pread(self._descriptor, there, offset) if there else b"")
