"""Generated damage: an image is refused as damaged, or the converted disk is the one that QEMU reads."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imageport import ImageportError, LimitExceeded, VerificationFailed

if TYPE_CHECKING:
    from tests.imageport_builtin.conversion.conftest import Bench

KINDS = ["qcow2 v3", "qcow2 compressed", "vmdk streamOptimized", "vdi dynamic", "vhd dynamic", "vhdx dynamic"]

#: Bytes from the start of an image in which its headers and tables are.
TABLES = 300 << 10


def damaged(content: bytes, seed: int) -> Iterator[bytes]:
    """Return copies of *content* that are cut off or have a few other bytes, most of them in headers and tables."""
    dice = random.Random(seed)
    for number in range(12):
        if number % 4 == 0:
            yield content[: dice.randrange(1024, len(content))]
            continue
        copy = bytearray(content)
        for _ in range(dice.choice([1, 1, 4])):
            place = dice.randrange(min(len(content), [512, 4096, TABLES, len(content)][number % 4]))
            copy[place] = dice.choice([0, 0xFF, dice.randrange(256)])
        yield bytes(copy)


@pytest.mark.parametrize(
    ("kind", "output_format"),
    [(kind, "raw") for kind in KINDS] + [(kind, "vdi") for kind in KINDS if kind != "vdi dynamic"],
)
def test_a_damaged_image_is_called_damaged(
    kind: str, output_format: str, make: Callable[[str], Path], bench: Bench, tmp_path: Path
) -> None:
    for number, content in enumerate(damaged(make(kind).read_bytes(), seed=len(kind))):
        image = tmp_path / f"damaged-{number}"
        image.write_bytes(content)
        try:
            result = bench.convert(image, disk_format=kind.partition(" ")[0], output_format=output_format)
        except ImageportError as error:
            # A size or a table that grew beyond the caps is damage that looks like a large image.
            assert isinstance(error, (VerificationFailed, LimitExceeded)), f"{number}: {error!r}"
            assert str(tmp_path) not in error.message + error.hint
            assert error.hint
        else:
            assert result.data.path
            assert disk_in(result.data.path, output_format) == disk_in(image, kind.partition(" ")[0])
            result.data.path.unlink()
        assert bench.work_files() == []


def disk_in(path: Path, disk_format: str) -> bytes:
    back = path.parents[1] / "back.raw"
    driver = {"vhd": "vpc"}.get(disk_format, disk_format)
    subprocess.run(["qemu-img", "convert", "-f", driver, "-O", "raw", path, back], check=True)
    return back.read_bytes()
