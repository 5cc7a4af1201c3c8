"""Disk images that are made to reach other files, to be taken for something else, or to exhaust the machine."""

from __future__ import annotations

import gzip
import random
import struct
import subprocess
import uuid
from pathlib import Path

_FILES = Path(__file__).with_name("files")

#: The metadata item of a vhdx with the place of its parent, and the one with its properties (MS-VHDX 2.6.2).
_PARENT_LOCATOR = uuid.UUID("a8d35f2d-b30b-454d-abf7-d3d84834ab0c").bytes_le
_FILE_PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b").bytes_le


def plain(folder: Path, driver: str, *options: str) -> Path:
    """Return an image of 2 MiB, with data, as qemu-img writes it with this *driver*."""
    raw, image = folder / "plain.raw", folder / f"plain.{driver}"
    raw.write_bytes(random.Random(driver).randbytes(300_000) + bytes((2 << 20) - 300_000))
    _qemu_img("convert", "-f", "raw", "-O", driver, *options, raw, image)
    return image


def backing_file(folder: Path) -> Path:
    image = folder / "backed.qcow2"
    _qemu_img("create", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", image, "1M")
    return image


def data_file(folder: Path) -> Path:
    image = folder / "outside.qcow2"
    _qemu_img("create", "-f", "qcow2", "-o", f"data_file={folder / 'data.raw'}", image, "1M")
    return image


def vmdk_descriptor(folder: Path) -> Path:
    image = folder / "passwd.vmdk"
    image.write_text(
        '# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 2 FLAT "/etc/passwd" 0\n'
    )
    return image


def vmdk_extents(folder: Path) -> Path:
    plain(folder, "vmdk", "-o", "subformat=twoGbMaxExtentSparse")
    return folder / "plain.vmdk"


def vmdk_foreign_extent(folder: Path) -> Path:
    content = bytearray(plain(folder, "vmdk").read_bytes())
    lines = content[512:2048].rstrip(b"\0").split(b"\n")
    [extent] = [line for line in lines if line.startswith(b"RW ")]
    forged = content[512:2048].replace(extent, b'RW 2 FLAT "/etc/passwd" 0')
    content[512:2048] = forged[:1536].ljust(1536, b"\0")
    return _written(folder, content)


def vmdk_parent(folder: Path) -> Path:
    base = plain(folder, "vmdk")
    _qemu_img("create", "-f", "vmdk", "-b", base, "-F", "vmdk", folder / "child.vmdk")
    return folder / "child.vmdk"


def vhd_parent(folder: Path) -> Path:
    content = bytearray(plain(folder, "vpc").read_bytes())
    for start in (0, len(content) - 512):
        footer = content[start : start + 512]
        footer[60:68] = struct.pack(">II", 4, 0)
        footer[64:68] = struct.pack(">I", ~sum(footer) & 0xFFFFFFFF)
        content[start : start + 512] = footer
    return _written(folder, content)


def vdi_parent(folder: Path) -> Path:
    return _patched(folder, plain(folder, "vdi"), (76, struct.pack("<I", 4)))


def vhdx_parent(folder: Path) -> Path:
    content = bytearray(plain(folder, "vhdx").read_bytes())
    start = content.index(b"metadata", 192 << 10)
    (count,) = struct.unpack_from("<H", content, start + 10)
    struct.pack_into("<H", content, start + 10, count + 1)
    struct.pack_into("<16sIII", content, start + 32 + 32 * count, _PARENT_LOCATOR, 0x20000, 20, 4)
    item = content.index(_FILE_PARAMETERS, start) + 16
    (offset,) = struct.unpack_from("<I", content, item)
    content[start + offset + 4] |= 2
    return _written(folder, content)


def qcow2_and_iso(folder: Path) -> Path:
    return _written(folder, plain(folder, "qcow2").read_bytes()[:512] + _iso(folder)[512:])


def qcow2_and_vhd(folder: Path) -> Path:
    fixed = plain(folder, "vpc", "-o", "subformat=fixed,force_size=on").read_bytes()
    return _written(folder, plain(folder, "qcow2").read_bytes().ljust(4 << 20, b"\0") + fixed[-512:])


def qcow2_and_boot_record(folder: Path) -> Path:
    entry = struct.pack("<B3sB3sII", 0x80, b"\0\2\0", 0x83, b"\xfe\xff\xff", 1, 2000)
    return _patched(folder, plain(folder, "qcow2"), (446, entry.ljust(64, b"\0") + b"\x55\xaa"))


def iso_and_boot_record(folder: Path) -> Path:
    entry = struct.pack("<B3sB3sII", 0x80, b"\0\2\0", 0x83, b"\xfe\xff\xff", 1, 2000)
    content = bytearray(_iso(folder))
    content[446:512] = entry.ljust(64, b"\0") + b"\x55\xaa"
    return _written(folder, content)


def bad_boot_flag(folder: Path) -> Path:
    return _patched(
        folder, _boot_sector(folder), (446, struct.pack("<B3sB3sII", 0x77, b"\0\2\0", 0x83, b"\0\0\0", 1, 9))
    )


def _boot_sector(folder: Path) -> Path:
    raw = folder / "boot.raw"
    raw.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1 << 20))
    return raw


def image_in_image(folder: Path) -> Path:
    inner = plain(folder, "qcow2")
    _qemu_img("convert", "-f", "raw", "-O", "qcow2", inner, folder / "outer.qcow2")
    return folder / "outer.qcow2"


def encrypted(folder: Path) -> Path:
    return _kept(folder, "encrypted.qcow2")


def luks(folder: Path) -> Path:
    return _kept(folder, "luks")


def qed(folder: Path) -> Path:
    return plain(folder, "qed")


def huge_disk(folder: Path) -> Path:
    _qemu_img("create", "-f", "qcow2", "-o", "cluster_size=2M", folder / "huge.qcow2", "1P")
    return folder / "huge.qcow2"


def huge_first_table(folder: Path) -> Path:
    return _patched(folder, plain(folder, "qcow2"), (36, struct.pack(">I", 0x7FFFFFFF)))


def huge_snapshot_table(folder: Path) -> Path:
    return _patched(folder, plain(folder, "qcow2"), (60, struct.pack(">IQ", 0xFFFF, 1 << 62)))


def table_elsewhere(folder: Path) -> Path:
    return _patched(folder, plain(folder, "qcow2"), (40, struct.pack(">Q", 1 << 62)))


def cut_off(folder: Path) -> Path:
    return _written(folder, plain(folder, "qcow2").read_bytes()[:-150_000])


def _kept(folder: Path, name: str) -> Path:
    """Unpack an image with LUKS that qemu-img wrote once; the key material, which only decryption reads, is zeroed.

    qemu-img measures the speed of the processor before it writes a key, and fails where it is too fast to measure.
    """
    image = folder / name
    image.write_bytes(gzip.decompress((_FILES / f"{name}.gz").read_bytes()))
    return image


def _iso(folder: Path) -> bytes:
    (folder / "tree").mkdir()
    (folder / "tree" / "readme").write_text("a compact disc\n")
    subprocess.run(["genisoimage", "-quiet", "-o", folder / "disc.iso", folder / "tree"], check=True)
    return (folder / "disc.iso").read_bytes()


def _patched(folder: Path, image: Path, *changes: tuple[int, bytes]) -> Path:
    content = bytearray(image.read_bytes())
    for offset, replacement in changes:
        content[offset : offset + len(replacement)] = replacement
    return _written(folder, content)


def _written(folder: Path, content: bytes | bytearray) -> Path:
    image = folder / "hostile"
    image.write_bytes(content)
    return image


def _qemu_img(*arguments: str | Path) -> None:
    subprocess.run(["qemu-img", *arguments], check=True, stdout=subprocess.DEVNULL)
