"""The layout of VDI (VirtualBox), dynamic and static."""

from __future__ import annotations

import struct
import sys
from array import array

from imageport.dataplane.inspection.layouts.layout import (
    SECTOR,
    Layout,
    UnsupportedError,
    require,
    require_few,
)

#: From the offset of the block map to the number of allocated blocks.
_HEADER = struct.Struct("<II12xI4xQIIII")
_HEADER_AT = 340
_TYPE_AT = 76
#: Dynamic, static, and the two that need another image.
_TYPES = (1, 2, 3, 4)
_ZERO = 0xFFFFFFFE


class VdiLayout(Layout):
    """Follows the block map to the highest block."""

    NAME = "vdi"
    MAGIC = b"\x7f\x10\xda\xbe"
    MAGIC_OFFSET = 64

    def _start(self) -> None:
        self._want(_TYPE_AT, 4, self._take_type)
        self._want(_HEADER_AT, _HEADER.size, self._take_header)

    def _take_type(self, data: bytes) -> None:
        if (kind := int.from_bytes(data, "little")) not in _TYPES:
            raise UnsupportedError(f"its header gives it the unknown type {kind}")

    def _take_header(self, data: bytes) -> None:
        map_at, self._data, sector, disk, self._block, extra, blocks, self._allocated = _HEADER.unpack(data)
        require(self._block and self._block & (self._block - 1) == 0, f"its blocks have {self._block} bytes")
        require(sector == SECTOR, f"its sectors have {sector} bytes")
        require(not extra, f"its blocks have {extra} bytes beside their data")
        needed = -(-disk // self._block)
        require(blocks == needed, f"its block map has {blocks} entries, and its disk needs {needed}")
        require(
            self._allocated <= blocks, f"{self._allocated} of its blocks are allocated, and it has {blocks}"
        )
        require(
            map_at + 4 * blocks <= self._data, f"its data at byte {self._data} begins inside its block map"
        )
        require_few(blocks, "blocks")
        self._want(map_at, 4 * blocks, self._take_map)

    def _take_map(self, data: bytes) -> None:
        entries = array("I", data)
        if sys.byteorder == "big":
            entries.byteswap()
        blocks = [entry for entry in entries if entry < _ZERO]
        require(
            len(blocks) == self._allocated,
            f"its header gives {self._allocated} allocated blocks, and its block map has {len(blocks)}",
        )
        require(len(set(blocks)) == len(blocks), "two entries of its block map lead to the same block")
        highest = max(blocks, default=-1)
        require(
            highest < self._allocated,
            f"its block map leads to block {highest}, and {self._allocated} are allocated",
        )
        self.end = max(self.end, self._data + (highest + 1) * self._block)
