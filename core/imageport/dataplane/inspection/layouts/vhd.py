"""The layout of VHD (Virtual Hard Disk Image Format Specification 1.0): dynamic by its table, fixed by its footer."""

from __future__ import annotations

import struct
import sys
from array import array
from dataclasses import dataclass
from itertools import pairwise

from imageport.dataplane.inspection.layouts.layout import SECTOR, Layout, require, require_few

_FOOTER = struct.Struct(">8sIIQI4sI4sQQ4sII16s")
_HEADER = struct.Struct(">8sQQIIII")
_HEADER_LENGTH = 1024
_UNUSED = 0xFFFFFFFF
FIXED, DYNAMIC, DIFFERENCING = 2, 3, 4


@dataclass(frozen=True, slots=True)
class Footer:
    """The facts in a footer, or in its copy at the start; sizes in bytes."""

    data_offset: int
    creator: str
    current_size: int
    geometry: str
    disk_type: int
    is_intact: bool

    @classmethod
    def of(cls, sector: bytes) -> Footer:
        """Return the fields of the footer in *sector*."""
        fields = _FOOTER.unpack_from(sector)
        data_offset, creator, size, geometry, kind, checksum = (fields[n] for n in (3, 5, 9, 10, 11, 12))
        cylinders, heads, sectors = struct.unpack(">HBB", geometry)
        return cls(
            data_offset,
            creator.decode("ascii", "replace"),
            size,
            f"{cylinders}/{heads}/{sectors}",
            kind,
            checksum == ~(sum(sector[:SECTOR]) - sum(sector[64:68])) & 0xFFFFFFFF,
        )


def is_footer(sector: bytes) -> bool:
    """Return whether *sector* is a footer, valid or not."""
    return len(sector) == SECTOR and sector.startswith(b"conectix")


class VhdLayout(Layout):
    """Follows the block allocation table of a dynamic disk, and compares its footer with the copy of it."""

    NAME = "vhd"
    MAGIC = b"conectix"

    def _start(self) -> None:
        self._want(0, SECTOR, self._take_footer)

    @classmethod
    def first_table_end(cls, head: bytes) -> int:
        """Return where the block allocation table begins."""
        header = int.from_bytes(head[16:24], "big")
        table = int.from_bytes(head[header + 16 : header + 24], "big")
        # From there on they follow each other, or lie in the kept bytes.
        return header if table > header else max(header, table)

    def _take_footer(self, data: bytes) -> None:
        self._copy = footer = Footer.of(data)
        require(footer.is_intact, "the checksum of its first sector, the copy of the footer, is wrong")
        require(
            footer.disk_type in (DYNAMIC, DIFFERENCING), f"it begins as a disk of type {footer.disk_type}"
        )
        self.end = SECTOR
        if footer.disk_type == DYNAMIC:
            self._want(footer.data_offset, _HEADER_LENGTH, self._take_header)

    def _take_header(self, data: bytes) -> None:
        cookie, _, table, _, entries, self._block, checksum = _HEADER.unpack_from(data)
        require(cookie == b"cxsparse", f"it has no header at byte {self._copy.data_offset}")
        require(
            checksum == ~(sum(data) - sum(data[36:40])) & 0xFFFFFFFF, "the checksum of its header is wrong"
        )
        require(
            self._block >= SECTOR and self._block & (self._block - 1) == 0,
            f"its blocks have {self._block} bytes",
        )
        needed = -(-self._copy.current_size // self._block)
        require(entries >= needed, f"its block table has {entries} entries, and its disk needs {needed}")
        require_few(entries, "blocks")
        self._want(table, 4 * entries, self._take_table)

    def _take_table(self, data: bytes) -> None:
        entries = array("I", data)
        if sys.byteorder == "little":
            entries.byteswap()
        # Each block has a bitmap of its sectors in front.
        length = -(-self._block // SECTOR // 8 // SECTOR) * SECTOR + self._block
        starts = sorted(SECTOR * entry for entry in entries if entry != _UNUSED)
        for first, second in pairwise(starts):
            require(second - first >= length, f"two of its blocks overlap at byte {second}")
        if starts:
            # The footer follows the blocks.
            self.end = max(self.end, starts[-1] + length + SECTOR)

    def _finish(self, size: int, tail: bytes) -> None:
        if self._copy.disk_type != DYNAMIC:
            return
        require(
            is_footer(tail[-SECTOR:]),
            "it does not end with a footer: it was cut off, or something was appended",
        )
        footer = Footer.of(tail[-SECTOR:])
        for name in ("current_size", "geometry", "disk_type", "creator", "data_offset"):
            at_the_end, at_the_start = getattr(footer, name), getattr(self._copy, name)
            require(
                at_the_end == at_the_start,
                f"its footer gives {name.replace('_', ' ')} {at_the_end}, and the copy of the footer {at_the_start}",
            )
        require(footer.is_intact, "the checksum of its footer is wrong")
