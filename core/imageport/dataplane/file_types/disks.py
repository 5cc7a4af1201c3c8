"""Recognise disks of formats that cannot be imported."""

from __future__ import annotations

from collections.abc import Callable

from imageport.dataplane.file_types.signature import FileType, Signature, is_damaged, starts

_SECTOR = 512


def _disk(
    name: str, description: str, hint: str, matches: Callable[[bytes], bool], *, may_be_raw: bool = False
) -> Signature:
    return Signature(FileType(name, "disk", description, hint, may_be_raw), matches)


def _converted(driver: str) -> str:
    return f"convert it with 'qemu-img convert -f {driver} -O qcow2' and import the result"


def _damaged(name: str, magic: bytes, *, at: int = 0, version: tuple[int, bytes] | None = None) -> Signature:
    """Return the row of a format that can be imported, for images of which a byte of the magic is damaged."""

    def matches(head: bytes) -> bool:
        place, digits = version or (0, b"")
        return is_damaged(head, magic, at=at) and head.startswith(digits, place)

    hint = "fetch it again from where it was made; with --disk-format raw it is stored as it is"
    description = f"a {name} image whose first bytes are damaged"
    return Signature(FileType(f"damaged {name}", "disk", description, hint, is_damaged=True), matches)


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
    _damaged("qcow2", b"QFI\xfb", version=(4, b"\0\0\0")),
    _damaged("vmdk", b"KDMV", version=(5, b"\0\0\0")),
    _damaged("vhdx", b"vhdxfile"),
    _damaged("vhd", b"conectix"),
    _damaged("vdi", b"\x7f\x10\xda\xbe", at=64, version=(0, b"<<< ")),
    _damaged("luks", b"LUKS\xba\xbe"),
)
