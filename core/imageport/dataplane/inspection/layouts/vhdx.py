"""The layout of VHDX ([MS-VHDX] 7.0)."""

from __future__ import annotations

import struct
import sys
import uuid
from array import array
from functools import partial
from itertools import pairwise

from imageport.dataplane.inspection.formats import Fault
from imageport.dataplane.inspection.layouts.layout import Layout, require, require_few

_HEADERS_AT = (64 << 10, 128 << 10)
_HEADER = struct.Struct("<4sIQ16s16s16sHHIQ")
_HEADER_LENGTH = 4096
_TABLES_AT = (192 << 10, 256 << 10)
_TABLE_LENGTH = 64 << 10
_ENTRY = struct.Struct("<16sQII")
_ITEM = struct.Struct("<16sIII4x")
_MOST_ENTRIES = 2047
_MIB = 1 << 20


def _guid(text: str) -> bytes:
    return uuid.UUID(text).bytes_le


_BLOCK_TABLE = _guid("2DC27766-F623-4200-9D64-115E9BFD4A08")
_METADATA = _guid("8B7CA206-4790-4B9A-B8FE-575F050F886E")
_PARAMETERS = _guid("CAA16737-FA36-4D43-B3B6-33F0AA44E76B")
_DISK_SIZE = _guid("2FA54224-CD1B-4876-B211-5DBED83BF4B8")
_SECTOR_SIZE = _guid("8141BF1D-A96F-4709-BA47-F233A8FAAB5F")
_ITEMS = {_PARAMETERS: "<II", _DISK_SIZE: "<Q", _SECTOR_SIZE: "<I"}

_PRESENT, _PARTIALLY_PRESENT = 6, 7


class VhdxLayout(Layout):
    """Follows the region table to the metadata and to the block allocation table."""

    NAME = "vhdx"
    MAGIC = b"vhdxfile"

    def _start(self) -> None:
        self._headers: list[bytes] = []
        self._tables: list[bytes] = []
        self._items: dict[bytes, tuple[int, ...]] = {}
        self._blocks = array("Q")
        for offset in _HEADERS_AT:
            self._want(offset, _HEADER_LENGTH, self._take_header)

    def _take_header(self, data: bytes) -> None:
        self._headers.append(data)
        if len(self._headers) == len(_HEADERS_AT):
            self._require_closed()
            for offset in _TABLES_AT:
                self._want(offset, _TABLE_LENGTH, self._take_region_table)

    def _take_region_table(self, data: bytes) -> None:
        self._tables.append(data)
        if len(self._tables) < len(_TABLES_AT):
            return
        require(self._tables[0] == self._tables[1], "its two region tables differ")
        signature, _, count, _ = struct.unpack_from("<4sIII", data)
        require(signature == b"regi" and count <= _MOST_ENTRIES, "it has no region table")
        regions = {}
        for number in range(count):
            name, offset, length, _ = _ENTRY.unpack_from(data, 16 + number * _ENTRY.size)
            self.end = max(self.end, offset + length)
            regions[name] = (offset, length)
        require(
            {_METADATA, _BLOCK_TABLE} <= regions.keys(),
            "its region table lacks the metadata or the block table",
        )
        self._metadata_at, _ = regions[_METADATA]
        offset, length = regions[_BLOCK_TABLE]
        require_few(length // 8, "entries in its block table")
        self._want(self._metadata_at, _TABLE_LENGTH, self._take_metadata)
        self._want(offset, length, self._take_blocks)

    def _require_closed(self) -> None:
        """Make sure that the log has no changes which are to be replayed."""
        intact = [_HEADER.unpack_from(header) for header in self._headers if _is_intact(header)]
        require(intact, "both of its headers are damaged")
        current = max(intact, key=lambda header: header[2])
        *_, log, _, _, log_length, log_at = current
        self.end = max(self.end, log_at + log_length)
        if any(log):
            self._faults.append(
                Fault(
                    "log",
                    "damaged",
                    "its log may hold changes that its disk has not yet: it was not closed properly, or is in use",
                    "close it where it is in use, or repair it there with 'qemu-img check -r all', and import it then",
                )
            )

    def _take_metadata(self, data: bytes) -> None:
        signature, _, count = struct.unpack_from("<8sHH", data)
        require(signature == b"metadata" and count <= _MOST_ENTRIES, "it has no metadata")
        for number in range(count):
            name, offset, length, _ = _ITEM.unpack_from(data, 32 + number * _ITEM.size)
            if form := _ITEMS.get(name):
                require(
                    length == struct.calcsize(form), "an item of its metadata has another length than it must"
                )
                self._want(self._metadata_at + offset, length, partial(self._take_item, name))

    def _take_item(self, name: bytes, data: bytes) -> None:
        self._items[name] = struct.unpack(_ITEMS[name], data)

    def _take_blocks(self, data: bytes) -> None:
        self._blocks = array("Q", data)
        if sys.byteorder == "big":
            self._blocks.byteswap()

    def _finish(self, size: int, tail: bytes) -> None:
        require(len(self._items) == len(_ITEMS), "its metadata lacks a size")
        block, _ = self._items[_PARAMETERS]
        [disk], [sector] = self._items[_DISK_SIZE], self._items[_SECTOR_SIZE]
        require(
            _MIB <= block <= 256 * _MIB and block & (block - 1) == 0,
            f"its blocks have {block} bytes; 1 MiB to 256 MiB are possible",
        )
        require(
            sector in (512, 4096) and disk % sector == 0, f"its disk has {disk} bytes in sectors of {sector}"
        )
        # After as many payload blocks comes the bitmap of their sectors.
        ratio = (sector << 23) // block
        payload = -(-disk // block)
        entries = payload + max(0, payload - 1) // ratio
        require(
            entries <= len(self._blocks),
            f"its block table has {len(self._blocks)} entries, and its disk needs {entries}",
        )
        starts = []
        for number, entry in enumerate(self._blocks):
            is_bitmap = number % (ratio + 1) == ratio
            state, start = entry & 7, entry & ~(_MIB - 1)
            require(is_bitmap or state != _PARTIALLY_PRESENT, "a part of its disk is in another file")
            if state == _PRESENT and not is_bitmap:
                require(
                    number < entries, f"entry {number} of its block table lies behind the end of its disk"
                )
                starts.append(start)
                # Without the option block_state_zero, qemu-img ends a fixed image where its disk ends.
                is_last = number == entries - 1 and size == start + disk - (payload - 1) * block
                self.end = max(self.end, size if is_last else start + block)
        starts.sort()
        for first, second in pairwise(starts):
            require(second - first >= block, f"two of its blocks overlap at byte {second}")


def _is_intact(header: bytes) -> bool:
    signature, checksum = struct.unpack_from("<4sI", header)
    return bool(signature == b"head" and checksum == _crc32c(header[:4] + bytes(4) + header[8:]))


def _crc32c(data: bytes) -> int:
    """Return the checksum of RFC 3720, appendix B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC_TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _crc_of(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
    return byte


_CRC_TABLE = tuple(map(_crc_of, range(256)))
