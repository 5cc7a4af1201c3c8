"""Ways of an image through an import: what is imported, how it is staged, and into how many stores."""

from __future__ import annotations

import gzip
import hashlib
import random
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.machine import Command, Machine, machine

PIPELINE = """\
name: journey
source: {{use: glance-direct}}
steps:
  - use: image_decompression
{conversion}
stores:
{stores}
all_stores_must_succeed: {must}
staging: {staging}
"""
_STORE = "  - {{use: file, id: {name}, with: {{directory: {folder}/{name}}}}}"

#: How the data is staged, and whether it has to be converted; ``staged`` was put in staging before.
WAYS = ("stream", "file", "converted", "staged")


@dataclass
class Journey:
    """Imports of one disk, over and over, on one machine."""

    machine: Machine
    way: str
    source: Path
    #: The SHA-256 of what every copy has to be.
    expected: str

    def ready(self) -> str:
        """Make an image that can be imported now, and return its id."""
        image = self.machine.new_image("qcow2" if self.way == "converted" else "raw")
        self.make_ready(image)
        return image

    def make_ready(self, image: str) -> None:
        """Put the data of a queued image in staging, where that is the way."""
        if self.way == "staged":
            assert self.machine.run("images", "stage", image, self.source).status == 0

    def arguments(self, image: str) -> list[str]:
        """Return the command that imports the image."""
        source = [] if self.way == "staged" else [str(self.source)]
        return ["run", "pipeline.yaml", *source, "--image", image, "--json"]

    def move_store(self, name: str, folder: str) -> None:
        """Let a store have another folder of the machine."""
        file = self.machine.folder / "pipeline.yaml"
        here = self.machine.folder
        file.write_text(
            file.read_text().replace(f"directory: {here / name}}}", f"directory: {here / folder}}}")
        )
        self.machine.stores = tuple(folder if store == name else store for store in self.machine.stores)

    def once(self) -> Command:
        """Import an image without any fault, and return the command with all moments of it."""
        image = self.ready()
        command = self.machine.run(*self.arguments(image), signals={})
        assert command.status == 0, command.complaints
        assert self.machine.catalog.get_image(image).status == "active"
        return command


@contextmanager
def journey(
    folder: Path, way: str, stores: int, *, must: bool = True, disks: Mapping[str, str] | None = None
) -> Iterator[Journey]:
    """Make a machine with a disk that is imported in one of the ``WAYS`` into a number of stores.

    They are called ``store0`` and so on. *disks* is as for ``machine``.
    """
    noise = random.Random(way)
    disk = noise.randbytes(900_000) + bytes(1 << 20) + noise.randbytes(300_001)
    raw = folder / "disk.raw"
    raw.write_bytes(disk)
    names = [f"store{number}" for number in range(stores)]
    conversion = "  - {use: image_conversion, with: {output_format: raw}}" if way == "converted" else ""
    text = PIPELINE.format(
        conversion=conversion,
        stores="\n".join(_STORE.format(name=name, folder=folder) for name in names),
        must=str(must).lower(),
        staging=way if way in {"stream", "file"} else "auto",
    )
    (folder / "pipeline.yaml").write_text(text)
    with machine(folder, names, disks) as made:
        yield Journey(made, way, _packed(raw, way), _expected(disk, way))


def _packed(raw: Path, way: str) -> Path:
    """Return what is imported: an image to convert, an archive, or the disk itself."""
    if way == "converted":
        target = raw.with_suffix(".qcow2")
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, target], check=True)
        return target
    if way == "staged":
        return raw
    target = raw.with_suffix(".gz")
    target.write_bytes(gzip.compress(raw.read_bytes(), 1))
    return target


def _expected(disk: bytes, way: str) -> str:
    # A converted disk ends with a whole sector.
    whole = disk.ljust(-(-len(disk) // 512) * 512, b"\0") if way == "converted" else disk
    return hashlib.sha256(whole).hexdigest()
