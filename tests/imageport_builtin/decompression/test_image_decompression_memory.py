"""Memory does not grow with a member: a large one goes through in little."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MEBIBYTE = 1 << 20
LENGTH = 256 * MEBIBYTE

# The peak memory of a process never falls, so each format is measured in a separate one.
PROGRAM = """
import json, logging, resource, sys
from pathlib import Path
from imageport import Caller, Context, Image, ImageData, ImageportError, ImageRecord
from imageport.limits import Limits
from imageport_builtin.image_decompression import DecompressionConfig, ImageDecompression

def peak(who):
    return resource.getrusage(who).ru_maxrss << 10

source, work_folder = map(Path, sys.argv[1:])
ctx = Context(
    caller=Caller(user="tester"), image_id="image", task_id="task", step="step", limits=Limits(), http=None,
    log=logging.getLogger(), work_folder=work_folder, read_replica=None,
)

def chunks():
    with source.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece

before = peak(resource.RUSAGE_SELF)
image = Image(ImageRecord(id="image"), ImageData.from_chunks(chunks))
length, failure = 0, None
try:
    unpacked = ImageDecompression(DecompressionConfig()).transform(image, ctx)
    length = sum(len(piece) for piece in unpacked.data.chunks())
except ImageportError as error:
    failure = f"{error.code}: {error}"
growth = peak(resource.RUSAGE_SELF) - before
print(json.dumps(
    {"length": length, "failure": failure, "growth": growth, "decoder": peak(resource.RUSAGE_CHILDREN)}
))
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk with holes and a pattern that any program packs quickly."""
    path = tmp_path_factory.mktemp("disk") / "disk.raw"
    pattern = b"".join(b"%016d" % number for number in range(MEBIBYTE // 16))
    with path.open("wb") as file:
        for start in range(0, LENGTH, 16 * MEBIBYTE):
            file.seek(start)
            file.write(pattern)
        file.truncate(LENGTH)
    return path


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("gzip", ("-1",)),
        ("xz", ("-0",)),
        ("zstd", ("--long=27", "-1")),
        ("tar", ()),
        ("zip", ("-1",)),
        ("7z", ("-mx=1", "-md=16m")),
        ("lha", ("ao5",)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_large_member_takes_little_memory(
    kind: str, options: tuple[str, ...], disk: Path, pack_files: Callable[..., bytes], tmp_path: Path
) -> None:
    packed = tmp_path / "packed"
    packed.write_bytes(pack_files(kind, disk.parent, [disk.name], *options))
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, packed, tmp_path / "work"], check=True, capture_output=True
    )
    measured = json.loads(done.stdout)

    assert measured["length"] == LENGTH
    # A window of 128 MiB is what --long=27 asks for.
    assert measured["growth"] < (180 if kind == "zstd" else 40) * MEBIBYTE
    assert measured["decoder"] < 200 * MEBIBYTE


def test_a_bomb_of_8_gib_cannot_hurt_a_process_of_300_mib(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb"
    with bomb.open("wb") as file:
        letters = subprocess.run(
            ["zstd", "-qc", "-19"], input=b"A" * (256 * MEBIBYTE), check=True, capture_output=True
        ).stdout
        file.write(letters * 32)
    (tmp_path / "work").mkdir()
    program = f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({300 * MEBIBYTE},) * 2)\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-c", program, bomb, tmp_path / "work"], check=True, capture_output=True
    )

    failure = json.loads(done.stdout)["failure"]
    assert failure.startswith("limit-exceeded: the zstd archive unpacks more than 1000 to 1")
    assert list((tmp_path / "work").iterdir()) == []
