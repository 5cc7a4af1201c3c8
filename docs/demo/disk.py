"""Build a small disk that boots: Memtest86+ and its boot loader, as the distribution publishes them."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

SECTOR = 512
DISK_SIZE = 64 << 20
PARTITION_START = 1 << 20
PAYLOAD_SIZE = 24 << 20

PACKAGES = ("memtest86+", "mtools", "syslinux", "syslinux-common")

LOADER_SETTINGS = """\
SERIAL 0 115200
DEFAULT memtest
LABEL memtest
  KERNEL memtest
  APPEND console=ttyS0,115200
"""


def build_disk(disk: Path, scratch: Path) -> str:
    """Write the disk to *disk* and return what it is, in words; packages are unpacked below *scratch*.

    Without the packages (no network, another architecture) the disk holds a boot sector of our own.
    """
    disk.unlink(missing_ok=True)
    with disk.open("wb") as file:
        file.truncate(DISK_SIZE)
    try:
        system = _unpacked_packages(scratch)
        _fill_partition(disk, system, scratch)
        boot_code = (system / "usr/lib/syslinux/mbr/mbr.bin").read_bytes()
        what = "a disk that boots Memtest86+, made from the packages " + ", ".join(PACKAGES)
    except (OSError, subprocess.CalledProcessError) as error:
        with disk.open("r+b") as file:
            file.seek(PARTITION_START)
            file.write(os.urandom(PAYLOAD_SIZE))
        boot_code = _greeting("Imageport demo disk: nothing to see here but a boot sector.")
        what = f"a disk with a boot sector of our own, because packages could not be had: {error}"
    _write_boot_record(disk, boot_code)
    return what


def _unpacked_packages(scratch: Path) -> Path:
    """Fetch the packages and unpack them, which needs no rights, and return the folder."""
    packages, system = scratch / "packages", scratch / "system"
    if not system.is_dir():
        packages.mkdir(parents=True, exist_ok=True)
        _run("apt-get", "--quiet", "download", *PACKAGES, cwd=packages)
        unpacked = scratch / "system.partial"
        shutil.rmtree(unpacked, ignore_errors=True)
        for package in sorted(packages.glob("*.deb")):
            _run("dpkg-deb", "--extract", str(package), str(unpacked))
        unpacked.rename(system)
    return system


def _fill_partition(disk: Path, system: Path, scratch: Path) -> None:
    """Make a FAT file system with a boot loader, its program and some data that does not compress."""
    settings, payload = scratch / "syslinux.cfg", scratch / "data.bin"
    settings.write_text(LOADER_SETTINGS)
    payload.write_bytes(os.urandom(PAYLOAD_SIZE))
    kernel = max((system / "boot").glob("memtest86+*.bin"))
    programs = system / "usr/bin"
    # syslinux calls the programs of mtools by name.
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "MTOOLS_SKIP_CHECK": "1"}
    partition = f"{disk}@@{PARTITION_START}"
    geometry = ["-T", str(_sectors()), "-h", "16", "-s", "63", "-H", str(PARTITION_START // SECTOR)]
    _run(str(programs / "mformat"), "-i", partition, *geometry, "::", env=environment)
    for file, name in ((kernel, "memtest"), (settings, "syslinux.cfg"), (payload, "data.bin")):
        _run(str(programs / "mcopy"), "-i", partition, str(file), f"::{name}", env=environment)
    _run(
        str(programs / "syslinux"), "--install", "--offset", str(PARTITION_START), str(disk), env=environment
    )


def _write_boot_record(disk: Path, boot_code: bytes) -> None:
    """Write the first sector: code, and a table with one active FAT16 partition."""
    anywhere = b"\xfe\xff\xff"
    entry = struct.pack("<B3sB3sII", 0x80, anywhere, 0x0E, anywhere, PARTITION_START // SECTOR, _sectors())
    with disk.open("r+b") as file:
        file.write(boot_code.ljust(446, b"\0") + entry + bytes(48) + b"\x55\xaa")


def _greeting(text: str) -> bytes:
    """Return a boot sector that prints *text* through the BIOS and stops."""
    code = bytes.fromhex(
        "31c0"  # xor ax, ax
        "8ed8"  # mov ds, ax
        "be157c"  # mov si, 0x7c15, the address of the text
        "ac"  # next: lodsb
        "84c0"  # test al, al
        "7406"  # jz stop
        "b40e"  # mov ah, 0x0e
        "cd10"  # int 0x10, which prints a character
        "ebf5"  # jmp next
        "f4"  # stop: hlt
        "ebfd"  # jmp stop
    )
    return code + text.encode("ascii") + b"\r\n\0"


def _sectors() -> int:
    return (DISK_SIZE - PARTITION_START) // SECTOR


def _run(*command: str, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    subprocess.run(command, cwd=cwd, env=env, check=True, capture_output=True)
