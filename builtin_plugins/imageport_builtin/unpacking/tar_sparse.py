"""Read the maps of sparse files in tar archives, and put the holes back.

Source: the manual of GNU tar, "Storing Sparse Files": the old GNU format, and versions 0.0, 0.1 and 1.0 in pax headers.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from imageport import Chunks, LimitExceeded
from imageport.dataplane import CHUNK_SIZE, ZERO_CHUNK
from imageport_builtin.unpacking.tar_header import BLOCK, MOST, Damage, number

#: Entries that the map of one file may have; each takes 16 bytes of memory.
MOST_ENTRIES = 1_000_000

#: Where the old GNU format has its map: four entries in the header, 21 in each further block.
_HEADER_MAP, _HEADER_MORE = slice(386, 482), 482
_REAL_SIZE = slice(483, 495)
_BLOCK_MAP, _BLOCK_MORE = slice(0, 504), 504

_DECIMAL = re.compile(rb"[0-9]{1,19}")
_LONGEST_NUMBER = 19


class SparseMap:
    """The parts of a sparse file that are stored: where each begins in the file, and its length."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        """Take *numbers*, an offset and a length in turn. Raises ``LimitExceeded``, and ``Damage`` when one is left."""
        self._offsets = array("Q")
        self._lengths = array("Q")
        rest = iter(numbers)
        for offset in rest:
            length = next(rest, None)
            if length is None:
                raise Damage("the map of the sparse file has half an entry")
            self.add(offset, length)

    def __len__(self) -> int:
        return len(self._offsets)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._offsets, self._lengths, strict=True)

    def add(self, offset: int, length: int) -> None:
        """Append an entry. Raises ``LimitExceeded`` beyond ``MOST_ENTRIES``."""
        check_entries(len(self) + 1)
        self._offsets.append(offset)
        self._lengths.append(length)

    def stored(self, size: int) -> int:
        """Return how many bytes are stored of a file that has *size*. Raises ``Damage`` for a map that does not fit.

        Parts are in order and, but for the last, whole blocks: GNU tar skips to the next block behind each part,
        bsdtar does not. The last entry ends where the file does: without one, GNU tar makes the file shorter.
        """
        end = total = 0
        for offset, length in self:
            if offset < end or offset + length > size or (length and total % BLOCK):
                raise Damage("the map of the sparse file does not fit")
            end = offset + length
            total += length
        if end != size:
            raise Damage("the map of the sparse file does not reach its end")
        return total


@dataclass(frozen=True, slots=True)
class Sparse:
    """A sparse file: the *size* that it unpacks to, and its map, None when that begins the stored contents."""

    size: int
    map: SparseMap | None


def check_entries(count: int) -> None:
    """Raise ``LimitExceeded`` when *count* entries are too many for a map."""
    if count > MOST_ENTRIES:
        raise LimitExceeded(
            f"tar: the map of a sparse file has more than {MOST_ENTRIES} entries",
            hint="pack the image without --sparse",
        )


def decimal(text: bytes | memoryview) -> int:
    """Return the number *text*. Raises ``Damage``."""
    if not _DECIMAL.fullmatch(text) or (value := int(bytes(text))) > MOST:
        raise Damage("a number in it is not decimal, or too large")
    return value


def old_gnu_map(header: bytes, next_block: Callable[[], bytes]) -> Sparse:
    """Return the map that begins in *header*; *next_block* returns the blocks behind it. Raises ``Damage``."""
    sparse_map = SparseMap()
    table, more = header[_HEADER_MAP], header[_HEADER_MORE]
    while _add_table(sparse_map, table) and more:
        block = next_block()
        table, more = block[_BLOCK_MAP], block[_BLOCK_MORE]
    if more:
        raise Damage("the map of the sparse file ends before its last block")
    return Sparse(number(header[_REAL_SIZE]), sparse_map)


def _add_table(sparse_map: SparseMap, table: bytes) -> bool:
    """Add the entries of *table*; return False when one is empty, which ends the map."""
    for start in range(0, len(table), 24):
        offset, length = table[start : start + 12], table[start + 12 : start + 24]
        if not (offset[0] and length[0]):
            if any(table[start:]):
                raise Damage("the map of the sparse file goes on behind its end")
            return False
        sparse_map.add(number(offset), number(length))
    return True


def stored_map(next_block: Callable[[], bytes]) -> tuple[SparseMap, int]:
    """Return the map that begins the contents in version 1.0, and how many bytes it takes there.

    Each line has a number: that of entries first, then the offset and the length of each. Zeros fill the last block.
    Raises ``Damage`` and ``LimitExceeded``.
    """
    first, _, rest = next_block().partition(b"\n")
    taken = BLOCK
    check_entries(count := decimal(first))
    numbers = array("Q")
    while True:
        *lines, rest = rest.split(b"\n", 2 * count - len(numbers))
        numbers.extend(map(decimal, lines))
        if len(numbers) == 2 * count:
            break
        if len(rest) > _LONGEST_NUMBER:
            raise Damage("a number in the map of the sparse file is too long")
        rest += next_block()
        taken += BLOCK
    if rest.strip(b"\0"):
        raise Damage("the map of the sparse file goes on behind its end")
    return SparseMap(numbers), taken


def with_holes(sparse_map: SparseMap, stored: Chunks) -> Chunks:
    """Yield the contents of a sparse file whose parts are *stored* one after the other."""
    parts = _Parts(stored)
    position = 0
    for offset, length in sparse_map:
        yield from _zeros(offset - position)
        yield from parts.take(length)
        position = offset + length


def _zeros(count: int) -> Chunks:
    while count >= CHUNK_SIZE:
        yield ZERO_CHUNK
        count -= CHUNK_SIZE
    if count:
        yield ZERO_CHUNK[:count]


class _Parts:
    """Divides a stream."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def take(self, length: int) -> Chunks:
        while length:
            self._rest = self._rest or memoryview(next(self._chunks))
            part, self._rest = self._rest[:length], self._rest[length:]
            length -= len(part)
            yield part
