"""Bounds on the size and time of a conversion hold while there is no output, too."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.bombs import qcow2_bomb
from tests.noise import noise

from imageport import Cancelled, ImageData, LimitExceeded
from imageport.dataplane import CHUNK_SIZE
from imageport_builtin import expansion, qemu_img

if TYPE_CHECKING:
    from tests.imageport_builtin.conversion.conftest import Bench

Make = Callable[[str], Path]
Replace = Callable[[str, str], None]

MIB = 1 << 20


@pytest.fixture
def little_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ratio count from 1 MiB of output on."""
    monkeypatch.setattr(expansion, "FREE_OUTPUT", MIB)


@pytest.fixture
def bomb(tmp_path: Path) -> Path:
    """A qcow2 of 64 MiB in which every cluster is one and the same compressed cluster; qemu-img check accepts it."""
    path = tmp_path / "bomb.qcow2"
    path.write_bytes(qcow2_bomb(64 * MIB))
    subprocess.run(["qemu-img", "check", "-q", path], check=True)
    return path


@pytest.mark.parametrize("output_format", ["raw", "qcow2", "vdi", "vhd", "vhdx"])
@pytest.mark.usefixtures("little_is_free")
def test_an_image_that_expands_beyond_reason_is_refused(output_format: str, bomb: Path, bench: Bench) -> None:
    # Any option but the format makes a qcow2 be written anew.
    options = {"compat": "0.10"} if output_format == "qcow2" else {}

    with pytest.raises(
        LimitExceeded, match=r"the disk in the qcow2 image expands more than 50 to 1: "
    ) as failure:
        bench.convert(bomb, stream=True, output_format=output_format, max_ratio=50, **options)

    assert failure.value.hint == (
        "it looks like a decompression bomb; raise max_ratio of this step if it is not"
    )
    assert bench.work_files() == []


@pytest.mark.usefixtures("little_is_free")
def test_a_higher_ratio_can_be_permitted(bomb: Path, bench: Bench) -> None:
    image = bench.convert(bomb, stream=True, max_ratio=10_000)

    assert b"".join(map(bytes, image.data.chunks())) == b"\xa7" * (64 * MIB)


@pytest.mark.parametrize("output_format", ["raw", "vhd"])
def test_the_first_bytes_are_free(output_format: str, bomb: Path, bench: Bench) -> None:
    assert bench.convert(bomb, output_format=output_format, max_ratio=1).record.virtual_size == 64 * MIB


@pytest.mark.parametrize("kind", ["qcow2 compressed", "vmdk streamOptimized", "vdi dynamic", "vhdx dynamic"])
@pytest.mark.parametrize("output_format", ["raw", "vhd"])
@pytest.mark.usefixtures("little_is_free")
def test_zeros_do_not_count(kind: str, output_format: str, make: Make, bench: Bench, tmp_path: Path) -> None:
    disk, image = tmp_path / "empty.raw", tmp_path / "empty"
    with disk.open("wb") as file:
        file.write(noise(2 * MIB))
        file.truncate(512 * MIB)
    driver = kind.split(maxsplit=1)[0]
    compressed = ["-c"] if kind == "qcow2 compressed" else []
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", driver, *compressed, disk, image], check=True)

    converted = bench.convert(image, stream=True, output_format=output_format, max_ratio=2)

    assert converted.record.virtual_size == 512 * MIB


@pytest.fixture
def stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Replace:
    """Run the real program through a script, which writes its number to a file beside it; ``$python`` in it is ours."""

    def replace(program: str, script: str) -> None:
        real = subprocess.run(["which", program], check=True, capture_output=True, text=True).stdout.strip()
        folder = tmp_path / "programs"
        folder.mkdir(exist_ok=True)
        path = folder / program
        path.write_text(f"#!/bin/sh\nreal={real} python='{sys.executable}'\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")

    return replace


#: qemu-img is stopped while it converts: it runs, and has no output.
STOP_CONVERTING = """
[ "$1" = convert ] || exec "$real" "$@"
kill -STOP $$
exec "$real" "$@"
"""


def test_the_deadline_ends_a_qemu_img_that_is_stopped(stopping: Replace, make: Make, bench: Bench) -> None:
    image = make("qcow2 v3")
    stopping("qemu-img", STOP_CONVERTING)
    bench.limit(conversion_deadline=0.5)

    with pytest.raises(LimitExceeded, match=r"qemu-img did not finish within 0\.5 s"):
        bench.convert(image, stream=True, output_format="vdi")
    assert bench.work_files() == []


@pytest.fixture
def stopped_export(stopping: Replace, tmp_path: Path, bench: Bench) -> Callable[[], ImageData]:
    """Read the first piece of a disk through the real qemu-nbd, then stop that; return the rest of the disk."""
    disk, image, number = tmp_path / "large.raw", tmp_path / "large.qcow2", tmp_path / "number"
    with disk.open("wb") as file:
        for _ in range(16):
            file.write(noise(1 * MIB).ljust(CHUNK_SIZE, b"\1"))
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, image], check=True)
    stopping("qemu-nbd", f'echo $$ > \'{number}\'\nexec "$real" "$@"')
    size = disk.stat().st_size

    def begin() -> ImageData:
        data = qemu_img.raw_disk(image, "qcow2", bench.ctx, size=size)
        assert data.peek(1)
        os.kill(int(number.read_text()), signal.SIGSTOP)
        return data

    return begin


def test_the_deadline_ends_a_qemu_nbd_that_is_stopped(
    stopped_export: Callable[[], ImageData], bench: Bench
) -> None:
    bench.limit(conversion_deadline=1.5)

    with pytest.raises(LimitExceeded, match=r"qemu-nbd did not finish within 1\.5 s"):
        list(stopped_export().chunks())
    assert bench.work_files() == []


def test_a_cancelled_import_ends_a_qemu_nbd_that_is_stopped(
    stopped_export: Callable[[], ImageData], bench: Bench
) -> None:
    data = stopped_export()
    canceller = threading.Timer(0.3, bench.ctx.cancelled.set)
    canceller.start()
    with pytest.raises(Cancelled):
        list(data.chunks())
    canceller.join()
    assert bench.work_files() == []


#: A server whose answer comes byte by byte, each before a wait for bytes ends.
TRICKLE = """
while [ "$1" != --socket ]; do shift; done
exec "$python" -c '
import socket, sys, time
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
server.listen()
connection, _ = server.accept()
connection.sendall(b"NBDMAGICIHAVEOPT\\0\\3")
connection.recv(1000)
connection.sendall(bytes.fromhex("0003e889045565a9" "00000008" "00000001" "00000000"))
connection.recv(1000)
connection.sendall(bytes.fromhex("0003e889045565a9" "00000007" "00000003" "0000fff0"))
while True:
    connection.sendall(bytes(1))
    time.sleep(0.05)
' "$2"
"""


def test_the_deadline_ends_an_answer_that_comes_byte_by_byte(
    stopping: Replace, make: Make, bench: Bench
) -> None:
    stopping("qemu-nbd", TRICKLE)
    bench.limit(conversion_deadline=1)

    with pytest.raises(LimitExceeded, match="qemu-nbd did not finish within 1 s"):
        bench.convert(make("qcow2 v3"), stream=True)
    assert bench.work_files() == []
