"""Recognise disks of formats that cannot be imported."""

from __future__ import annotations

from collections.abc import Callable

from imageport.file_types.signature import FileType, Signature, starts

_SECTOR = 512


def _disk(
    name: str, description: str, hint: str, matches: Callable[[bytes], bool], *, may_be_raw: bool = False
) -> Signature:
    return Signature(FileType(name, "disk", description, hint, may_be_raw), matches)


def _converted(driver: str) -> str:
    return f"convert it with 'qemu-img convert -f {driver} -O qcow2' and import the result"


#: Disk formats that cannot be imported; those that programs probe are never stored as raw.
DISKS: tuple[Signature, ...] = (
    _disk(
        "parallels",
        "a Parallels disk",
        _converted("parallels"),
        starts(b"WithoutFreeSpace", b"WithouFreSpacExt"),
    ),
    _disk("cloop", "a cloop image", _converted("cloop"), starts(b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop")),
    _disk("bochs", "a Bochs disk", _converted("bochs"), starts(b"Bochs Virtual HD Image")),
    _disk(
        "cowd",
        "a disk of VMware ESX 3, or a snapshot of one",
        "export it as streamOptimized, or convert it with 'qemu-img convert -O qcow2' where its other files are",
        starts(b"COWD"),
    ),
    _disk(
        "android-sparse",
        "an Android sparse image",
        "unpack it with 'simg2img' and import the result",
        starts(b"\x3a\xff\x26\xed"),
        may_be_raw=True,
    ),
    _disk(
        "encrypted-dmg",
        "an encrypted disk image of macOS",
        "convert it with 'hdiutil convert -format UDTO' and import the result",
        starts(b"encrcdsa", b"cdsaencr"),
        may_be_raw=True,
    ),
    _disk(
        "ewf",
        "a forensic image (EWF)",
        "convert it with 'ewfexport -f raw' and import the result",
        starts(b"EVF\x09\x0d\x0a\xff\0", b"EVF2\x0d\x0a\x81\0"),
        may_be_raw=True,
    ),
    _disk(
        "partclone",
        "a Partclone image",
        "restore it with 'partclone.restore' to a file and import that",
        starts(b"partclone-image"),
        may_be_raw=True,
    ),
    _disk(
        "vma",
        "a backup of Proxmox VE",
        "unpack it with 'vma extract' and import the disk in it",
        starts(b"VMA\0"),
        may_be_raw=True,
    ),
)


def identify_end(tail: bytes) -> FileType | None:
    """Return the type of a file that ends with *tail*, its last 512 bytes or more, when the end tells it."""
    return _DMG if tail[-_SECTOR:].startswith(b"koly") else None


_DMG = FileType(
    "dmg",
    "disk",
    "a disk image of macOS (dmg)",
    "convert it with 'qemu-img convert -f dmg -O qcow2', or 'hdiutil convert -format UDTO', and import the result",
)
