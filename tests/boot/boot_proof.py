"""Disks out of packages are imported in every wrapping, equal QEMU's own raw disk, and boot from the stored copy.

Not among the tests of ``make test``: it fetches 140 MB of packages. ``make boot-proof`` runs it.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from tests.boot.disks import Disk, build_disks
from tests.boot.machine import booted
from tests.boot.packages import SYSTEM
from tests.reported.bench import RAW, UNPACK, Bench

from imageport.testing.command import RunImageport

NAMES = ("grub", "ipxe", "memtest", "installer")

#: Options of qemu-img convert, by disk format.
FORMATS = {
    "raw": ["-O", "raw"],
    "qcow2": ["-O", "qcow2"],
    "vmdk": ["-O", "vmdk", "-o", "subformat=streamOptimized"],
    "vhdx": ["-O", "vhdx"],
    "vdi": ["-O", "vdi"],
}

#: Commands that write a packed file to standard output.
PACKERS = {
    "none": [],
    "gz": ["gzip", "-1", "-c"],
    "xz": ["xz", "-0", "-c"],
    "bz2": ["bzip2", "-1", "-c"],
    "zip": ["zip", "-1", "-q", "-j", "-"],
}

#: A wrapping for each disk that is booted: together they have every format and every packing.
BOOTED = {
    "grub": ("qcow2", "gz"),
    "ipxe": ("vmdk", "xz"),
    "memtest": ("vhdx", "zip"),
    "installer": ("vdi", "bz2"),
}

#: Seconds until a disk must have shown its text. Emulated, on a busy machine, the installer takes the longest.
PATIENCE = 900


@pytest.fixture(scope="session")
def disks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Disk]:
    return build_disks(SYSTEM, tmp_path_factory.mktemp("disks"))


@pytest.fixture
def bench(run_imageport: RunImageport) -> Bench:
    return Bench(run_imageport)


def wrapped(disk: Path, disk_format: str, packing: str, folder: Path) -> tuple[Path, str]:
    """Return *disk* in a wrapping, and the SHA-512 of the raw disk that qemu-img itself reads out of its image."""
    image, back = folder / f"disk.{disk_format}", folder / "back.raw"
    subprocess.run(["qemu-img", "convert", "-f", "raw", *FORMATS[disk_format], disk, image], check=True)
    subprocess.run(["qemu-img", "convert", "-f", disk_format, "-O", "raw", image, back], check=True)
    digest = sha512(back)
    back.unlink()
    if packing == "none":
        return image, digest
    packed = folder / f"disk.{disk_format}.{packing}"
    with packed.open("wb") as file:
        subprocess.run([*PACKERS[packing], image], check=True, stdout=file)
    image.unlink()
    return packed, digest


def sha512(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()


def stored(bench: Bench, source: Path) -> Path:
    done = bench.imports(source, UNPACK, RAW)
    assert done.exit_code == 0, done.report["error"]
    [copy] = done.copies.values()
    return copy


@pytest.mark.parametrize("packing", PACKERS)
@pytest.mark.parametrize("disk_format", FORMATS)
@pytest.mark.parametrize("name", NAMES)
def test_a_disk_is_the_same_out_of_every_wrapping(
    name: str, disk_format: str, packing: str, disks: dict[str, Disk], bench: Bench, tmp_path: Path
) -> None:
    source, digest = wrapped(disks[name].path, disk_format, packing, tmp_path)

    assert sha512(stored(bench, source)) == digest == sha512(disks[name].path)


@pytest.mark.parametrize("name", NAMES)
def test_the_stored_copy_boots(name: str, disks: dict[str, Disk], bench: Bench, tmp_path: Path) -> None:
    source, _ = wrapped(disks[name].path, *BOOTED[name], tmp_path)
    folder = tmp_path / "machine"
    folder.mkdir()

    with booted(stored(bench, source), folder) as machine:
        machine.wait_for(disks[name].shows, PATIENCE)
        machine.photograph(folder / "screen.png")
    assert (folder / "screen.png").stat().st_size
