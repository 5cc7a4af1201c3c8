"""Real disk images of every kind, and a step that converts them."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from imageport import Context, Event, Image, ImageData, ImageRecord
from imageport.dataplane import InspectionPolicy
from imageport.limits import Limits
from imageport.testing.contexts import make_context
from imageport_builtin.image_conversion import ImageConversion, ImageConversionConfig

DISK_SIZE = 4 << 20

DRIVERS = {"raw": "raw", "qcow2": "qcow2", "vmdk": "vmdk", "vdi": "vdi", "vhd": "vpc", "vhdx": "vhdx"}


def run_qemu_img(*arguments: object) -> None:
    subprocess.run(["qemu-img", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def stream_of(path: Path) -> ImageData:
    def chunks() -> Iterator[bytes]:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                yield piece

    return ImageData.from_chunks(chunks)


@dataclass
class Bench:
    """One import's surroundings, and a short way to convert in them."""

    work: Path
    disk: Path
    ctx: Context
    events: list[Event]

    def limit(self, **limits: Any) -> None:
        self.ctx = replace(self.ctx, limits=Limits(**limits))

    def convert(
        self,
        path: Path,
        *,
        disk_format: str | None = None,
        container: str = "bare",
        stream: bool = False,
        **options: Any,
    ) -> Image:
        data = stream_of(path) if stream else ImageData.from_file(path)
        record = ImageRecord(id="image-1", disk_format=disk_format, container_format=container)
        self.ctx = replace(self.ctx, inspection=InspectionPolicy(declared=disk_format))
        result = ImageConversion(ImageConversionConfig(**options)).transform(Image(record, data), self.ctx)
        assert isinstance(result, Image)
        # A raw disk is read out of the image on request.
        return result if result.data is data else result.evolve(data=self.ctx.spool(result.data))

    def work_files(self) -> list[Path]:
        return sorted(self.work.iterdir())

    def holds_the_disk(self, image: Image) -> bool:
        """Whether *image*, read back, is the very disk."""
        assert image.data.path
        driver = DRIVERS[str(image.record.disk_format)]
        back = self.work.parent / "back.raw"
        run_qemu_img("dd", "-f", driver, "-O", "raw", "bs=1M", f"if={image.data.path}", f"of={back}")
        return sha512(ImageData.from_file(back)) == sha512(ImageData.from_file(self.disk))


@pytest.fixture(scope="session")
def qemu_img() -> Callable[..., None]:
    """Run qemu-img itself."""
    return run_qemu_img


@pytest.fixture
def bench(tmp_path: Path, disk: Path) -> Bench:
    work = tmp_path / "work"
    work.mkdir()
    events: list[Event] = []
    ctx = make_context(work, step="convert", emit=events.append)
    return Bench(work, disk, ctx, events)


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A raw disk with data at both ends and a hole between."""
    content = bytearray(DISK_SIZE)
    source = random.Random(20)
    content[: 300 << 10] = source.randbytes(300 << 10)
    content[-(200 << 10) :] = source.randbytes(200 << 10)
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    path.write_bytes(content)
    return path


def sha512(data: ImageData) -> str:
    digest = hashlib.sha512()
    for piece in data.chunks():
        digest.update(piece)
    return digest.hexdigest()


#: How each kind of source image is made from the disk: the options of qemu-img convert.
KINDS: dict[str, str] = {
    "qcow2 v3": "-O qcow2",
    "qcow2 v2": "-O qcow2 -o compat=0.10",
    "qcow2 compressed": "-O qcow2 -c",
    "qcow2 zstd": "-O qcow2 -c -o compression_type=zstd",
    "qcow2 extended-l2": "-O qcow2 -o extended_l2=on",
    "qcow2 lazy-refcounts": "-O qcow2 -o lazy_refcounts=on",
    "vmdk monolithicSparse": "-O vmdk -o subformat=monolithicSparse",
    "vmdk streamOptimized": "-O vmdk -o subformat=streamOptimized",
    "vdi dynamic": "-O vdi",
    "vdi static": "-O vdi -o static=on",
    "vhd dynamic": "-O vpc -o subformat=dynamic,force_size=on",
    "vhd fixed": "-O vpc -o subformat=fixed,force_size=on",
    "vhdx dynamic": "-O vhdx",
    "vhdx fixed": "-O vhdx -o subformat=fixed",
}


@pytest.fixture(scope="session")
def make(disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Make an image of the disk, by the name of its kind; each is made once and must not be changed."""
    folder = tmp_path_factory.mktemp("images")

    def make_kind(kind: str) -> Path:
        path = folder / kind.replace(" ", "-")
        if not path.exists():
            run_qemu_img("convert", "-f", "raw", *KINDS[kind].split(), disk, path)
        return path

    return make_kind


@pytest.fixture(scope="session")
def iso(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("iso")
    (folder / "tree").mkdir()
    (folder / "tree" / "readme.txt").write_text("an image of a compact disc\n")
    path = folder / "disc.iso"
    command = ["genisoimage", "-quiet", "-input-charset", "utf-8", "-o", str(path), str(folder / "tree")]
    subprocess.run(command, check=True)
    return path


@pytest.fixture
def with_boot_record(tmp_path: Path) -> Callable[..., Path]:
    """Copy a file and give the copy the partition table of a disk (one Linux partition)."""

    def write(path: Path, boot_flag: int = 0x80) -> Path:
        target = tmp_path / f"partitioned-{path.name}"
        shutil.copy(path, target)
        entry = bytes([boot_flag, 0, 2, 0, 0x83, 0, 0, 0, 1, 0, 0, 0, 64, 0, 0, 0])
        with target.open("r+b") as file:
            file.seek(446)
            file.write(entry + bytes(48) + b"\x55\xaa")
        return target

    return write
