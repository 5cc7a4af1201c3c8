"""Read the boot record of a disk (UEFI 2.10, section 5.2): whether it has partitions, and whether all agree on them."""

from __future__ import annotations

import struct

_ENTRY = struct.Struct("<B3sB3sII")
_ENTRIES_AT = 446
_PROTECTIVE = 0xEE
#: CHS of the first sector after the boot record.
_START_CHS = b"\x00\x02\x00"

#: What the boot sectors of file systems have where others have the name of their maker.
_FILE_SYSTEMS = (b"NTFS    ", b"EXFAT   ", b"-FVE-FS-", b"ReFS\0\0\0\0")
_SECTOR_SIZES = (512, 1024, 2048, 4096)


def is_file_system(sector: bytes) -> bool:
    """Say whether a disk that begins with *sector* is one file system, without a partition table.

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
    """Return what is odd about the partition table in *sector*, so that programs may read it differently; or None."""
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
