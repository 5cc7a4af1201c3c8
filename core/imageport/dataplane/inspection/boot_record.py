"""Read the boot record of a disk (UEFI 2.10, section 5.2): whether it has partitions, and whether all agree on them."""

from __future__ import annotations

import struct
import zlib

_ENTRY = struct.Struct("<B3sB3sII")
_ENTRIES_AT = 446
_PROTECTIVE = 0xEE
#: A GPT header up to the length of its entries: length, checksum, the place of its copy, and its entries.
_GPT = struct.Struct("<8s4xII4x8xQ8x8x16xQII")
_GPT_MAGIC = b"EFI PART"
_GPT_LENGTHS = range(92, 513)
_GPT_ENTRY = struct.Struct("<16s16x8xQ")
#: CHS of the first sector after the boot record.
_START_CHS = b"\x00\x02\x00"

#: Marks of the boot sectors of file systems, where others have the name of their maker.
_FILE_SYSTEMS = (b"NTFS    ", b"EXFAT   ", b"-FVE-FS-", b"ReFS\0\0\0\0")
_SECTOR_SIZES = (512, 1024, 2048, 4096)


def is_file_system(sector: bytes) -> bool:
    """Return whether a disk that begins with *sector* is one file system, without a partition table.

    The boot sectors of NTFS, exFAT, ReFS, BitLocker and FAT end as a boot record does, with code for partitions.
    """
    if sector.startswith(_FILE_SYSTEMS, 3):
        return True
    size, clusters, reserved, tables, _, _, media = struct.unpack_from("<HBHBHHB", sector, 11)
    jumps = sector[0] == 0xE9 or (sector[0] == 0xEB and sector[2] == 0x90)
    return bool(
        jumps
        and size in _SECTOR_SIZES
        and clusters
        and clusters & (clusters - 1) == 0
        and reserved
        and 1 <= tables <= 4
        and (media == 0xF0 or media >= 0xF8)
    )


def oddity(sector: bytes) -> str | None:
    """Return how the partition table in *sector* is ambiguous, so that programs may read it differently; or None."""
    entries = [_ENTRY.unpack_from(sector, _ENTRIES_AT + number * _ENTRY.size) for number in range(4)]
    for number, (flag, *_) in enumerate(entries, 1):
        if flag not in (0x00, 0x80):
            return f"partition {number} has an invalid boot flag ({flag:#04x}; 0x00 and 0x80 are possible)"
    used = [entry for entry in entries if entry[2]]
    for _, chs, kind, _, start, _ in used:
        if kind != _PROTECTIVE:
            continue
        if chs != _START_CHS:
            found = f"{chs[0]}/{chs[1]}/{chs[2]}"
            return f"the entry that protects a GPT has an invalid start CHS ({found} instead of 0/2/0)"
        if start != 1:
            return f"the entry that protects a GPT has an invalid start LBA ({start} instead of 1)"
        if len(used) > 1 or not entries[0][2]:
            return "it has invalid extra partitions beside the entry that protects a GPT, which is to be the first"
    return None


def reach(head: bytes) -> int:
    """Return how many bytes the partition table in *head*, the first 64 KiB of a disk, gives for the disk.

    That is where the last partition ends, or the copy of a GPT; 0 when there is no table.
    """
    entries = [_ENTRY.unpack_from(head, _ENTRIES_AT + number * _ENTRY.size) for number in range(4)]
    for size in _SECTOR_SIZES if any(kind == _PROTECTIVE for _, _, kind, *_ in entries) else ():
        if reached := _reach_of_gpt(head, size):
            return reached
    return max(
        (
            (start + count) * _SECTOR_SIZES[0]
            for _, _, kind, _, start, count in entries
            if kind not in (0, _PROTECTIVE)
        ),
        default=0,
    )


def _reach_of_gpt(head: bytes, sector: int) -> int:
    """Return the same for a GPT with an intact header in the second *sector*, or 0."""
    if len(head) < 2 * sector:
        return 0
    magic, length, checksum, copy, entries_at, count, entry_length = _GPT.unpack_from(head, sector)
    if magic != _GPT_MAGIC or length not in _GPT_LENGTHS:
        return 0
    header = bytearray(head[sector : sector + length])
    header[16:20] = bytes(4)
    if zlib.crc32(header) != checksum or entry_length < _GPT_ENTRY.size:
        return 0
    last = copy
    for place in range(
        entries_at * sector, min(entries_at * sector + count * entry_length, len(head)), entry_length
    ):
        if place + _GPT_ENTRY.size <= len(head):
            kind, end = _GPT_ENTRY.unpack_from(head, place)
            last = max(last, end if any(kind) else 0)
    return int(last + 1) * sector
