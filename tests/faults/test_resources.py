"""Small disks, missing permissions, interruptions and large images."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.faults.conftest import Bench
from tests.noise import noise

#: Run a command where one folder is a file system of a few MiB; works without root where user namespaces do.
MOUNTED = 'mkdir -p "$0" && mount -t tmpfs -o size=6m none "$0" && "$@"; code=$?; ls -A "$0"; exit $code'
SMALL_DISK = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNTED]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(noise(16 << 20))
    return path


def _on_small_disk(folder: Path) -> list[str]:
    return [*SMALL_DISK, str(folder)]


def test_a_full_staging_disk_is_reported_as_such(bench: Bench, disk: Path) -> None:
    bench.pipeline(output="qcow2")
    with disk.open("rb") as file:
        process = subprocess.run(
            [*_on_small_disk(bench.staging), *bench.command("run", "pipeline.yaml", "-", "--json")],
            stdin=file, capture_output=True, cwd=bench.folder, check=False,
            env={**os.environ, "HOME": str(bench.folder)},
        )  # fmt: skip
    report = json.loads(process.stdout.splitlines()[-1])
    assert process.returncode == 1, process.stderr
    assert "No space left" in report["error"]["message"]
    assert "staging.directory" in report["error"]["hint"]
    assert bench.copies() == []


def _queued_image(bench: Bench) -> str:
    record = bench.run(
        "images", "create", "--name", "mine", "--disk-format", "raw", "--container-format", "bare", "--json"
    )
    return str(json.loads(record.stdout)["id"])


def _run_on_small_disk(bench: Bench, data: Path, *arguments: str | Path) -> tuple[int, str, str]:
    """Run a command, with *data* as its input, where staging is small; return its code, output and complaints."""
    with data.open("rb") as file:
        done = subprocess.run(
            [*_on_small_disk(bench.staging), *bench.command(*arguments)],
            stdin=file, capture_output=True, text=True, cwd=bench.folder, check=False,
            # Root there is the user who runs the tests, and the owner of the images.
            env={**os.environ, "HOME": str(bench.folder), "LOGNAME": getpass.getuser()},
        )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(("source", "message"), [("disk.raw", "are free"), ("-", "No space left")])
def test_data_that_does_not_fit_is_not_staged(bench: Bench, disk: Path, source: str, message: str) -> None:
    image = _queued_image(bench)
    code, left, complaint = _run_on_small_disk(bench, disk, "images", "stage", image, source)
    assert (code, left) == (1, "")
    assert message in complaint
    assert "staging.directory" in complaint
    record = bench.show(image)
    assert (record["status"], record["size"]) == ("queued", None)


def test_data_known_not_to_fit_is_refused_before_a_byte_is_staged(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "short").write_bytes(b"x")
    image = _queued_image(bench)
    arguments = ("images", "stage", image, "-", "--size", str(16 << 20))
    code, left, complaint = _run_on_small_disk(bench, tmp_path / "short", *arguments)
    assert (code, left) == (1, "")
    assert "16.0 MiB (16777216 bytes) do not fit" in complaint


def test_holes_need_no_space_in_staging(bench: Bench, tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(noise(1 << 20))
    os.truncate(disk, 1 << 30)
    image = _queued_image(bench)
    code, left, complaint = _run_on_small_disk(bench, disk, "images", "stage", image, disk)
    assert (code, complaint) == (0, "")
    assert f"({1 << 30} bytes)" in left
    assert image in left.splitlines()


def test_an_import_that_is_known_not_to_fit_in_staging_ends_before_it_is_read(
    bench: Bench, disk: Path
) -> None:
    text = (bench.folder / "pipeline.yaml").read_text()
    (bench.folder / "pipeline.yaml").write_text(f"staging: file\n{text}")
    code, shown, _ = _run_on_small_disk(bench, disk, "run", "pipeline.yaml", disk, "--json")
    *events, report = [json.loads(line) for line in shown.splitlines()]
    assert code == 1
    assert report["error"]["code"] == "limit-exceeded"
    assert "16.0 MiB (16777216 bytes) do not fit" in report["error"]["message"]
    assert "are free" in report["error"]["message"]
    assert not any(event["type"] == "progress" for event in events)
    assert bench.copies() == []


def test_a_raw_disk_that_would_not_fit_into_staging_needs_no_room_there(bench: Bench, tmp_path: Path) -> None:
    raw, disk = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    raw.write_bytes(bytes(range(256)) * (256 << 10))
    subprocess.run(["qemu-img", "convert", "-c", "-O", "qcow2", raw, disk], check=True)
    code, shown, complaint = _run_on_small_disk(bench, disk, "run", "pipeline.yaml", disk, "--json")
    assert code == 0, shown + complaint
    assert bench.copies()[0].read_bytes() == raw.read_bytes()


def test_a_store_directory_that_cannot_be_written_is_named(bench: Bench, disk: Path) -> None:
    bench.one.write_text("not a directory")
    code, report = bench.importing(disk)
    assert code == 6
    assert report["error"]["store"] == "one"
    assert str(bench.one) in report["error"]["message"]
    assert report["error"]["hint"]
    assert bench.copies() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_import_ends_with_130_and_leaves_nothing(bench: Bench, number: signal.Signals) -> None:
    process = bench.start("run", "pipeline.yaml", "-", "--json")
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("some bytes")
    process.stdin.flush()
    for line in process.stdout:
        if json.loads(line).get("type") == "task.processing":
            break
    threading.Timer(0.3, process.send_signal, [number]).start()
    rest = process.stdout.read()
    assert process.wait(30) == 130
    process.stdin.close()
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.close()
    report = json.loads(rest.splitlines()[-1])
    assert report["error"]["code"] == "cancelled"
    assert report["image"]["status"] == "queued"
    assert bench.copies() == []
    assert bench.scratch() == []


def test_a_task_can_be_cancelled_while_its_source_stalls(bench: Bench) -> None:
    process = bench.start("run", "pipeline.yaml", "-", "--json")
    assert process.stdin is not None
    assert process.stdout is not None
    task = ""
    for line in process.stdout:
        event = json.loads(line)
        if event.get("type") == "task.processing":
            task = event["task_id"]
            break
    assert bench.run("tasks", "cancel", task).exit_code == 0
    report = json.loads(process.stdout.read().splitlines()[-1])
    assert process.wait(30) == 130
    for pipe in (process.stdin, process.stdout, process.stderr):
        assert pipe is not None
        pipe.close()
    assert "was cancelled" in report["error"]["message"]
    assert report["rolled_back"]
    assert bench.copies() == []


def test_of_two_imports_of_one_image_one_wins(bench: Bench, disk: Path) -> None:
    image = _queued_image(bench)
    both = [bench.start("run", "pipeline.yaml", disk, "--image", image, "--json") for _ in range(2)]
    ends = [process.communicate(timeout=60) for process in both]
    assert sorted(process.returncode for process in both) == [0, 7]
    loser = json.loads(ends[[process.returncode for process in both].index(7)][0].splitlines()[-1])
    assert loser["error"]["code"] == "conflict"
    assert loser["error"]["hint"]
    assert len(bench.copies()) == 2
    assert bench.show(image)["status"] == "active"


PEAK = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
sys.exit(code)
"""


def test_memory_of_all_processes_together_stays_below_300_mib(bench: Bench, tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    # More than the dictionary of the archive.
    disk.write_bytes(noise(4 << 20) * 36)
    packed = tmp_path / "disk.7z"
    subprocess.run(["7z", "a", "-bso0", "-bd", "-mx=1", "-md=128m", packed, disk], check=True)
    process = bench.start("run", "pipeline.yaml", packed, "--disk-format", "raw", "--quiet")
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_memory, _family(process.pid))))
        time.sleep(0.05)
    process.communicate()
    assert process.returncode == 0
    assert 100 << 20 < peak < 300 << 20


def _family(pid: int) -> list[int]:
    """Return a process and all that come from it."""
    with contextlib.suppress(OSError):
        # Any thread may have started one.
        children = [
            child
            for thread in Path(f"/proc/{pid}/task").iterdir()
            for child in (thread / "children").read_text().split()
        ]
        return [pid, *(one for child in children for one in _family(int(child)))]
    return []


def _memory(pid: int) -> int:
    """Return the bytes that a process takes, its share of what is shared included."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) << 10
    return 0


@pytest.mark.parametrize("size", [64 << 20, 512 << 20])
def test_memory_stays_far_below_300_mib_whatever_the_size(bench: Bench, tmp_path: Path, size: int) -> None:
    packed = tmp_path / "disk.zst"
    pattern = noise(4 << 20)
    compressor = subprocess.Popen(
        ["zstd", "-q", "-1", "--long=27", "-o", packed], stdin=subprocess.PIPE, bufsize=0
    )
    assert compressor.stdin is not None
    for _ in range(size >> 22):
        compressor.stdin.write(pattern)
    compressor.stdin.close()
    assert compressor.wait() == 0
    command = [sys.executable, "-c", PEAK, *bench.command("run", "pipeline.yaml", packed, "--json")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=bench.folder, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 300
    assert bench.copies()[0].stat().st_size == size
