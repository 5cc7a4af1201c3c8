"""Real disks, what qemu-img and genisoimage make of them, and what programs pack them into."""

from __future__ import annotations

import random
import struct
import subprocess
from pathlib import Path

MIB = 1 << 20

#: A partition that makes sense: bootable, Linux, from sector 1 on.
PARTITION = struct.pack("<B3sB3sII", 0x80, b"\0\2\0", 0x83, b"\xfe\xff\xff", 1, 2000)
#: One whose boot flag is neither 0x00 nor 0x80.
ODD_PARTITION = b"\x77" + PARTITION[1:]


def raw_disk(size: int = 3 * MIB) -> bytes:
    """Return a disk that has no image format: noise at both ends, and zeros between."""
    noise = random.Random(size)
    return noise.randbytes(100_000) + bytes(size - 150_000) + noise.randbytes(50_000)


def with_boot_record(disk: bytes, *entries: bytes) -> bytes:
    """Return *disk* with a boot record in its first sector."""
    return disk[:446] + b"".join(entries).ljust(64, b"\0") + b"\x55\xaa" + disk[512:]


def converted(folder: Path, disk: bytes, driver: str, *options: str) -> Path:
    """Return an image of *disk* as qemu-img writes it with this *driver*."""
    source, target = folder / "source.raw", folder / f"image.{driver}"
    source.write_bytes(disk)
    qemu_img("convert", "-f", "raw", "-O", driver, *options, source, target)
    return target


def qemu_img(*arguments: str | Path) -> None:
    """Run qemu-img itself."""
    subprocess.run(["qemu-img", *arguments], check=True, stdout=subprocess.DEVNULL)


def iso(folder: Path) -> bytes:
    """Return an ISO 9660 file system with one file."""
    tree = folder / "tree"
    tree.mkdir(exist_ok=True)
    (tree / "readme").write_text("boot me")
    subprocess.run(["genisoimage", "-quiet", "-o", folder / "image.iso", tree], check=True)
    return (folder / "image.iso").read_bytes()


def packed(folder: Path, program: str, **files: bytes) -> bytes:
    """Return an archive of *files*: by ``zip``, with or without a password, by ``tar`` or by ``lha``."""
    work = folder / "packing"
    work.mkdir(exist_ok=True)
    archive = work / "archive"
    archive.unlink(missing_ok=True)
    for name, content in files.items():
        (work / name).write_bytes(content)
    commands = {
        "zip": ["zip", "-q", "-", *files],
        "encrypted zip": ["zip", "-q", "-P", "secret", "-", *files],
        "tar": ["tar", "-cf", "-", *files],
        "lha": ["jlha", "ao5", "archive", *files],
    }
    done = subprocess.run(commands[program], cwd=work, check=True, capture_output=True)
    return archive.read_bytes() if archive.exists() else done.stdout
