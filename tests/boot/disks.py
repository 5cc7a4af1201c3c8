"""Disks that boot, as the distribution publishes them, and the text that each of them shows."""

from __future__ import annotations

import os
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512
INSTALLER_SIZE = 64 << 20
PARTITION_START = 1 << 20

_LOADER_SETTINGS = """\
DEFAULT install
LABEL install
  KERNEL linux
  INITRD initrd.gz
  APPEND console=ttyS0,115200 DEBIAN_FRONTEND=text priority=low
"""


@dataclass(frozen=True)
class Disk:
    """A raw disk, and text that shows on the screen or the serial line once its own program runs."""

    name: str
    path: Path
    shows: str


def build_disks(system: Path, scratch: Path) -> dict[str, Disk]:
    """Return the disks by name, out of the packages that are unpacked in *system*. GRUB, iPXE and Memtest86+ are
    hybrid images: an ISO 9660 file system and a boot record. The installer gets a separate disk, in *scratch*."""
    disks = (
        Disk("grub", system / "usr/lib/grub-rescue/grub-rescue-cdrom.iso", "GNU GRUB  version 2"),
        Disk("ipxe", system / "usr/lib/ipxe/ipxe.iso", "Press Ctrl-B for the iPXE command line"),
        Disk("memtest", system / "usr/lib/memtest86+/memtest86+x64.iso", "Press <F1> to configure"),
        Disk("installer", _installer(system, scratch), "Debian installer main menu"),
    )
    return {disk.name: disk for disk in disks}


def _installer(system: Path, scratch: Path) -> Path:
    """Return a disk with one FAT partition, in which a boot loader finds the installer."""
    disk, settings = scratch / "installer.raw", scratch / "syslinux.cfg"
    settings.write_text(_LOADER_SETTINGS)
    sectors = (INSTALLER_SIZE - PARTITION_START) // SECTOR
    code = (system / "usr/lib/syslinux/mbr/mbr.bin").read_bytes()
    anywhere = b"\xfe\xff\xff"
    entry = struct.pack("<B3sB3sII", 0x80, anywhere, 0x0E, anywhere, PARTITION_START // SECTOR, sectors)
    with disk.open("wb") as file:
        file.write(code.ljust(446, b"\0") + entry + bytes(48) + b"\x55\xaa")
        file.truncate(INSTALLER_SIZE)
    files = system / "usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64"
    partition = f"{disk}@@{PARTITION_START}"
    geometry = ["-T", str(sectors), "-h", "16", "-s", "63", "-H", str(PARTITION_START // SECTOR)]
    commands: tuple[list[str | Path], ...] = (
        ["mformat", "-i", partition, *geometry, "::"],
        ["mcopy", "-i", partition, files / "linux", files / "initrd.gz", settings, "::"],
        [system / "usr/bin/syslinux", "--install", "--offset", str(PARTITION_START), disk],
    )
    for command in commands:
        subprocess.run(command, check=True, env={**os.environ, "MTOOLS_SKIP_CHECK": "1"})
    return disk
