"""The layout of a VMDK in one file (VMware Virtual Disk Format 5.0): monolithicSparse and streamOptimized."""

from __future__ import annotations

import re
import struct
import sys
from array import array
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from imageport.dataplane.inspection.layouts.layout import SECTOR, Layout, require, require_few

_HEADER = struct.Struct("<4sIIQQQQIQQQ5xH")
_MARKER = struct.Struct("<QI")
_AT_THE_END = (1 << 64) - 1
_REDUNDANT, _COMPRESSED, _MARKERS = 1 << 1, 1 << 16, 1 << 17
_DEFLATE = 1
_MOST_GRAIN_ENTRIES = 512
_MOST_GRAIN_BYTES = 2 << 20
_LONGEST_DESCRIPTOR = 1 << 20
#: An entry of a grain table that stands for zeros.
_ZERO = 1
_EXTENT = re.compile(rb"^\s*(?:RW|RDONLY)\s+(\d+)\s+SPARSE\b", re.MULTILINE | re.IGNORECASE)


class _Header(NamedTuple):
    """A header, or the footer that takes its place; places and lengths in sectors."""

    magic: bytes
    version: int
    flags: int
    capacity: int
    grain: int
    text_at: int
    text_length: int
    entries: int
    copy: int
    directory: int
    overhead: int
    compression: int


class VmdkLayout(Layout):
    """Follows the grain directory to all grains, and compares the grain tables with their copies."""

    NAME = "vmdk"
    MAGIC = b"KDMV"

    def _start(self) -> None:
        self._copies: dict[int, int] = {}
        self._want(0, _HEADER.size, self._take_header)

    @classmethod
    def first_table_end(cls, head: bytes) -> int:
        """Return where the grain directory ends; each grain that is compressed has its length in front."""
        header = _Header(*_HEADER.unpack_from(head))
        if header.flags & _COMPRESSED:
            return _AT_THE_END
        sectors = header.grain * header.entries
        return header.directory * SECTOR + (4 * -(-header.capacity // sectors) if sectors else 0)

    def _take_header(self, data: bytes) -> None:
        header = _Header(*_HEADER.unpack(data))
        if header.directory == _AT_THE_END:
            self._want(-2 * SECTOR, _HEADER.size, partial(self._take_footer, header))
        else:
            self._follow(header)

    def _take_footer(self, header: _Header, data: bytes) -> None:
        footer = _Header(*_HEADER.unpack(data))
        for name in ("magic", "version", "flags", "capacity", "grain", "entries"):
            at_the_end, at_the_start = getattr(footer, name), getattr(header, name)
            require(
                at_the_end == at_the_start,
                f"its footer gives {name} {at_the_end}, and its header {at_the_start}",
            )
        self._follow(footer)

    def _follow(self, header: _Header) -> None:
        """Ask for the descriptor and for the tables that lead to all others."""
        grain = header.grain
        require(
            grain and grain & (grain - 1) == 0 and grain * SECTOR <= _MOST_GRAIN_BYTES,
            f"its grains have {grain} sectors",
        )
        require(0 < header.entries <= _MOST_GRAIN_ENTRIES, f"its grain tables have {header.entries} entries")
        is_compressed = bool(header.flags & _COMPRESSED)
        require(
            header.compression == (_DEFLATE if is_compressed else 0),
            f"its header gives compression {header.compression}, and its flags {'one' if is_compressed else 'none'}",
        )
        self._header = header
        tables = -(-header.capacity // (grain * header.entries))
        require_few(tables, "grain tables")
        self.end = max(self.end, header.overhead * SECTOR)
        text_length = min(header.text_length * SECTOR, _LONGEST_DESCRIPTOR)
        self._want(header.text_at * SECTOR, text_length, self._take_descriptor)
        self._want_directory(header.directory, tables, is_copy=False)
        if header.flags & _REDUNDANT and header.copy and header.copy not in (_AT_THE_END, header.directory):
            self._want_directory(header.copy, tables, is_copy=True)

    def _take_descriptor(self, text: bytes) -> None:
        sizes = [int(size) for size in _EXTENT.findall(text.partition(b"\0")[0])]
        require(
            sizes in ([], [self._header.capacity]),
            f"its descriptor gives {sum(sizes)} sectors, and its header {self._header.capacity}",
        )

    def _want_directory(self, sector: int, tables: int, *, is_copy: bool) -> None:
        def take(data: bytes) -> None:
            places = [table * SECTOR for table in _numbers(data)]
            for number, place in enumerate(places):
                if place == 0:
                    self._note(number, bytes(4 * self._header.entries))
            self._want_each(places, 4 * self._header.entries, partial(self._take_table, is_copy))

        if tables:
            self._want(sector * SECTOR, 4 * tables, take)

    def _note(self, number: int, data: bytes) -> None:
        """Compare a grain table with its copy, when that is known."""
        if self._header.flags & _REDUNDANT:
            digest = hash(data)
            require(
                self._copies.setdefault(number, digest) == digest, f"grain table {number} and its copy differ"
            )

    def _take_table(self, is_copy: bool, number: int, data: bytes) -> None:
        self._note(number, data)
        if is_copy:
            return
        grains = _numbers(data)
        compressed = self._header.flags & _COMPRESSED
        for index, entry in enumerate(grains):
            if entry <= _ZERO:
                continue
            sector = (number * self._header.entries + index) * self._header.grain
            require(
                sector < self._header.capacity, f"grain table {number} has a grain behind the end of the disk"
            )
            if not compressed:
                self.end = max(self.end, (entry + self._header.grain) * SECTOR)
        if compressed and self._header.flags & _MARKERS:
            first = number * self._header.entries
            places = [entry * SECTOR if entry > _ZERO else 0 for entry in grains]
            self._want_each(places, _MARKER.size, partial(self._take_marker, places, first))

    def _take_marker(self, places: Sequence[int], first: int, index: int, data: bytes) -> None:
        found, length = _MARKER.unpack(data)
        sector, offset = (first + index) * self._header.grain, places[index]
        require(
            found == sector,
            f"the grain at byte {offset} is for sector {found}, and its table has it for {sector}",
        )
        require(0 < length <= 2 * _MOST_GRAIN_BYTES, f"the grain at byte {offset} has {length} bytes")
        self.end = max(self.end, offset + _MARKER.size + length)


def _numbers(data: bytes) -> array[int]:
    numbers = array("I", data)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
