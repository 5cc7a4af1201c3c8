"""The images: half data that does not compress, half zeros, as a disk that is half full."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30

#: Bytes of data and of zeros, by turns.
EXTENT = 32 * MIB


@dataclass(frozen=True)
class Inputs:
    """The images in *folder*; the sizes are those of raw disks, in bytes."""

    folder: Path
    size: int
    small_size: int
    huge_size: int

    @classmethod
    def of_size(cls, folder: Path, size: int) -> Inputs:
        """Return inputs with a disk of *size* bytes: for 2 GiB, small ones of 10 MiB and a huge one of 64 GiB."""
        return cls(folder, size, small_size=min(10 * MIB, size // 4), huge_size=32 * size)

    @property
    def raw(self) -> Path:
        """A disk whose zeros are written, not left out: those that a server sends, too."""
        return self.folder / f"disk-{self.size}.raw"

    @property
    def qcow2(self) -> Path:
        """The disk as qcow2."""
        return self.raw.with_suffix(".qcow2")

    @property
    def gzip(self) -> Path:
        """The disk, compressed."""
        return self.raw.with_suffix(".raw.gz")

    @property
    def small(self) -> Path:
        """A small disk."""
        return self.folder / f"small-{self.small_size}.raw"

    @property
    def huge(self) -> Path:
        """A disk of which nearly all is a hole."""
        return self.folder / f"huge-{self.huge_size}.raw"

    def make(self) -> None:
        """Make what is missing."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _make(self.raw, lambda path: _write_disk(path, self.size))
        _make(self.small, lambda path: _write_disk(path, self.small_size))
        _make(self.huge, lambda path: _write_hollow_disk(path, self.huge_size))
        _make(self.qcow2, self._convert)
        _make(self.gzip, self._compress)

    def _convert(self, path: Path) -> None:
        subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", self.raw, path], check=True)

    def _compress(self, path: Path) -> None:
        with path.open("wb") as file:
            subprocess.run(["gzip", "-n", "-c", self.raw], stdout=file, check=True)


def _make(path: Path, write: Callable[[Path], None]) -> None:
    """Let *write* make the file unless it is there; it gets its name when it is complete."""
    if not path.exists():
        partial = path.with_name(f"{path.name}.partial")
        write(partial)
        partial.rename(path)


def _write_disk(path: Path, size: int) -> None:
    extent = min(EXTENT, size // 4)
    content = random.Random(size)
    with path.open("wb") as file:
        for start in range(0, size, extent):
            length = min(extent, size - start)
            is_data = start // extent % 2 == 0
            for offset in range(0, length, MIB):
                piece = min(MIB, length - offset)
                file.write(content.randbytes(piece) if is_data else bytes(piece))


def _write_hollow_disk(path: Path, size: int) -> None:
    content = random.Random(size)
    with path.open("wb") as file:
        for start in range(0, size, max(MIB, size // 64)):
            file.seek(start)
            file.write(content.randbytes(64 << 10))
        file.truncate(size)
