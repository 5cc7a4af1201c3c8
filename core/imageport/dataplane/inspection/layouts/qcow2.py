"""The layout of qcow2 (QEMU, docs/interop/qcow2.txt): versions 2 and 3, with extended L2 entries."""

from __future__ import annotations

import struct
import zlib
from functools import partial

from imageport.dataplane.inspection.formats import Fault
from imageport.dataplane.inspection.layouts.layout import Layout, require, require_few
from imageport.dataplane.inspection.layouts.qcow2_counts import ReferenceBalance, numbers, unpacked_counts

_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_HEADER_3 = struct.Struct(">QQQII")
_COPIED = 1 << 63
_COMPRESSED = 1 << 62
_ZERO = 1
#: The half of the bitmap of subclusters that have data.
_ALLOCATED = 0xFFFFFFFF
_OFFSET = 0x00FFFFFFFFFFFE00
_RESERVED_L1 = 0x7F000000000001FF
_RESERVED_L2 = 0x3F000000000001FE
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = 1, 2, 4, 8, 16
_RAW_DATA_FILE = 2
_COMPRESSION_AT = 104
_ZLIB, _ZSTD = 0, 1
_ENCRYPTION_HEADER = 0x0537BE77
#: Where the header extensions are not read any further.
_EXTENSIONS_END = 4096
_MOST_SNAPSHOTS = 65536
_AES, _LUKS = 1, 2
_SECTOR = 512

_REPAIR = "repair it with 'qemu-img check -r all' where it comes from, and import it then"


class Qcow2Layout(Layout):
    """Follows the L1 and L2 tables to all clusters, and compares the references with the reference counts."""

    NAME = "qcow2"
    MAGIC = b"QFI\xfb"

    def _start(self) -> None:
        self._balance = ReferenceBalance()
        self._virtual_size = self._cluster = 0
        self._snapshots = 0
        self._compressed_end = 0
        self._last_compressed = (0, b"")
        self._want(0, _HEADER.size, self._take_header)

    @classmethod
    def first_table_end(cls, head: bytes) -> int:
        """Return where the L1 table ends."""
        *_, l1_entries, l1_offset, _, _, _, _ = _HEADER.unpack_from(head)
        return int(l1_offset + 8 * l1_entries)

    # ------------------------------------------------------------------------------------------------ the header

    def _take_header(self, data: bytes) -> None:
        (
            _,
            version,
            _,
            _,
            bits,
            size,
            encryption,
            entries,
            offset,
            counts,
            count_clusters,
            snapshots,
            snapshots_at,
        ) = _HEADER.unpack(data)
        self._virtual_size = size
        self._snapshots = snapshots
        if version not in (2, 3):
            return
        require(9 <= bits <= 21, f"its header gives clusters of 2^{bits} bytes; 2^9 to 2^21 are possible")
        self._version, self._bits, self._cluster = version, bits, 1 << bits
        require(encryption in (0, _AES, _LUKS), f"its header gives encryption method {encryption}")
        self._encryption = encryption
        require(
            size % _SECTOR == 0,
            f"the size in its header, {size} bytes, is not a multiple of the sector size",
        )
        self._needs_aligned(offset, 8 * entries, "L1 table")
        self._needs_aligned(counts, count_clusters << bits, "refcount table")
        require(counts and count_clusters, "it has no refcount table")
        require(self._snapshots <= _MOST_SNAPSHOTS, f"its header gives {self._snapshots} snapshots")
        self._needs_aligned(snapshots_at, 40 * self._snapshots, "snapshot table")
        require_few(entries, "entries in its L1 table")
        require_few(count_clusters << (bits - 3), "entries in its refcount table")
        self._l1 = (offset, entries)
        self._counts = (counts, count_clusters)
        if version == 2:
            self._want_extensions(_HEADER.size)
            self._follow(features=0, count_order=4)
        else:
            self._want(_HEADER.size, _HEADER_3.size, self._take_features)

    def _take_features(self, data: bytes) -> None:
        features, _, hints, count_order, header_length = _HEADER_3.unpack(data)
        if features & _CORRUPT:
            reason = "it is marked as corrupt: QEMU has found it inconsistent"
            self._faults.append(Fault("corrupt", "damaged", reason, _REPAIR))
            return
        if features & _DIRTY:
            reason = "it is marked as dirty: it was not closed properly, or is still in use"
            self._faults.append(Fault("dirty", "damaged", reason, _REPAIR))
            return
        require(count_order <= 6, f"its header gives refcounts of 2^{count_order} bits")
        require(104 <= header_length <= self._cluster, f"its header gives itself {header_length} bytes")
        if features & _DATA_FILE or features >> 5:
            return
        require(not hints & _RAW_DATA_FILE, "its header has the flag of a data file, and it names none")
        self._want_extensions(header_length)
        if header_length > _COMPRESSION_AT:
            self._want(_COMPRESSION_AT, 1, partial(self._take_compression, features))
        self._follow(features, count_order)

    def _take_compression(self, features: int, data: bytes) -> None:
        expected = _ZSTD if features & _COMPRESSION else _ZLIB
        require(data[0] == expected, f"its header gives compression {data[0]}, and its flags {expected}")

    def _want_extensions(self, offset: int) -> None:
        length = min(self._cluster, _EXTENSIONS_END) - offset
        if length > 0:
            self._want(offset, length, self._take_extensions, needed=False)

    def _take_extensions(self, data: bytes) -> None:
        """Look in the header extensions for the place of the keys of an encrypted image."""
        offset = 0
        has_keys = False
        while offset + 24 <= len(data):
            kind, length, keys_at, keys_length = struct.unpack_from(">IIQQ", data, offset)
            if kind == 0:
                break
            if kind == _ENCRYPTION_HEADER:
                has_keys = True
                self._needs_aligned(keys_at, keys_length, "key area")
            offset += 8 + length + -length % 8
        require(has_keys or self._encryption != _LUKS, "it is encrypted with LUKS, and has no keys")

    def _needs_aligned(self, offset: int, length: int, what: str) -> None:
        require(
            offset % self._cluster == 0, f"its {what} is at byte {offset}, which is not a cluster boundary"
        )
        self.end = max(self.end, offset + length)

    def _follow(self, features: int, count_order: int) -> None:
        """Ask for the two tables that lead to all others."""
        self._extended = bool(features & _EXTENDED_L2)
        self._count_order = count_order
        (l1_offset, l1_entries), (counts_offset, count_clusters) = self._l1, self._counts
        self._entries = self._cluster // (16 if self._extended else 8)
        tables = -(-self._virtual_size // (self._entries << self._bits))
        require(l1_entries >= tables, f"its L1 table has {l1_entries} entries, and its disk needs {tables}")
        self._refer(0, self._cluster)
        self._refer(l1_offset, 8 * l1_entries)
        self._refer(counts_offset, count_clusters << self._bits)
        self._want(counts_offset, count_clusters << self._bits, self._take_count_table, needed=False)
        if l1_entries:
            self._want(l1_offset, 8 * l1_entries, self._take_l1)

    # --------------------------------------------------------------------------------------- references and counts

    def _take_count_table(self, data: bytes) -> None:
        blocks = numbers("Q", data)
        for offset in filter(None, blocks):
            self._needs_aligned(offset, self._cluster, "refcount block")
            self._refer(offset, self._cluster)
        self._want_each(blocks, self._cluster, self._take_counts, needed=False)

    def _take_counts(self, number: int, block: bytes) -> None:
        self._balance.count(number, unpacked_counts(block, self._count_order))

    def _refer(self, offset: int, length: int) -> None:
        """Note that the clusters of the *length* bytes at *offset* are used."""
        last = (offset + length - 1 >> self._bits) + 1 if length else 0
        self._balance.refer(range(offset >> self._bits, last))

    # ------------------------------------------------------------------------------------------------- the data

    def _take_l1(self, data: bytes) -> None:
        tables = numbers("Q", data)
        for number, entry in enumerate(tables):
            require(not entry & _RESERVED_L1, f"entry {number} of its L1 table has unknown flags")
            tables[number] = offset = entry & _OFFSET
            require(offset or not entry, f"entry {number} of its L1 table leads nowhere")
            if offset:
                self._needs_aligned(offset, self._cluster, "L2 table")
                self._refer(offset, self._cluster)
        self._want_each(tables, self._cluster, self._take_l2)

    def _take_l2(self, number: int, table: bytes) -> None:
        entries = numbers("Q", table)
        step = 2 if self._extended else 1
        compressed: list[tuple[int, int]] = []
        start = number * self._entries << self._bits
        for index in range(0, len(entries), step):
            entry, bitmap = entries[index], entries[index + 1] if self._extended else 0
            if not entry and not bitmap:
                continue
            guest = start + (index // step << self._bits)
            if entry & _COMPRESSED:
                require(
                    not entry & _COPIED and not bitmap,
                    f"byte {guest} of its disk is compressed and is not, at once",
                )
                compressed.append(self._compressed(entry))
                continue
            require(not entry & _RESERVED_L2, f"the entry for byte {guest} of its disk has unknown flags")
            used = self._used(entry, bitmap)
            if offset := entry & _OFFSET:
                require(offset % self._cluster == 0, f"byte {guest} of its disk is at no cluster boundary")
                self._balance.refer((offset >> self._bits,))
                self.end = max(self.end, offset + used)
            else:
                require(
                    not entry & _COPIED and not bitmap & _ALLOCATED, f"byte {guest} of its disk is nowhere"
                )
        if compressed:
            self._take_compressed(compressed)

    def _used(self, entry: int, bitmap: int) -> int:
        """Return how many bytes of a cluster are there: all, or up to the last subcluster that is allocated."""
        if self._extended:
            allocated, zeros = bitmap & _ALLOCATED, bitmap >> 32
            require(not entry & _ZERO and not allocated & zeros, "its subclusters are data and zeros at once")
            return allocated.bit_length() * self._cluster // 32
        require(not entry & _ZERO or self._version == 3, "it has zero clusters, which its version has not")
        return 0 if entry & _ZERO else self._cluster

    def _compressed(self, entry: int) -> tuple[int, int]:
        """Return the offset and the end of a compressed cluster, which may be less than its last sector."""
        shift = 62 - (self._bits - 8)
        offset = entry & ((1 << shift) - 1)
        sectors = 1 + (entry >> shift & ((1 << self._bits - 8) - 1))
        end = (offset & ~511) + 512 * sectors
        self._refer(offset & ~511, 512 * sectors)
        return offset, end

    def _take_compressed(self, clusters: list[tuple[int, int]]) -> None:
        end, offset = max((end, offset) for offset, end in clusters)
        if end <= self._compressed_end:
            return
        self._compressed_end = end
        self.end = max(self.end, end - 511)

        def take(data: bytes | None) -> None:
            if data is not None and end == self._compressed_end:
                self._last_compressed = (end, data)

        self._regions.want(offset, end - offset, take, partial=True)

    def _finish(self, size: int, tail: bytes) -> None:
        if self._balance.is_empty:  # nothing was followed: another version, or data in another file
            return
        # A compressed cluster takes whole sectors, but the file may end with its last byte.
        if self._compressed_end > size and not self._is_last_compressed_whole():
            self.end = self._compressed_end
            return
        if self._snapshots and (in_use := self._balance.highest_in_use << self._bits) >= size:
            self.end = in_use + self._cluster
            return
        if not self._missed and (cluster := self._balance.first_overused) is not None:
            require(
                cluster << self._bits >= size,
                f"cluster {cluster} is used more often than its reference count allows",
            )

    def _is_last_compressed_whole(self) -> bool:
        end, data = self._last_compressed
        if end != self._compressed_end:
            return False
        decoder = zlib.decompressobj(-15)
        try:
            disk: bytes = decoder.decompress(data, self._cluster)
            return len(disk) == self._cluster
        except zlib.error:
            return False
