"""Killed with signal 9 at any moment, an import is rolled back by the next command."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.faults.conftest import Bench


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    raw = tmp_path / "disk.raw"
    raw.write_bytes(os.urandom(24 << 20))
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, tmp_path / "disk.qcow2"], check=True
    )
    return tmp_path / "disk.qcow2"


def _create(bench: Bench) -> str:
    formats = ("--disk-format", "qcow2", "--container-format", "bare")
    record = json.loads(bench.run("images", "create", "--name", "victim", *formats, "--json").stdout)
    return str(record["id"])


@pytest.mark.parametrize("round_number", range(2))
def test_after_kill_9_gc_leaves_nothing_and_the_image_can_be_imported(
    bench: Bench, disk: Path, round_number: int
) -> None:
    bench.pipeline(must=bool(round_number % 2))
    image = _create(bench)
    process = bench.start("run", "pipeline.yaml", disk, "--image", image, "--json")
    assert process.stdout is not None
    _wait_for_event(process, random.Random(round_number).choice(["task.create", "image.prepare", "progress"]))
    time.sleep(random.Random(round_number).uniform(0, 0.25))
    process.kill()
    process.communicate()
    cleaned = bench.run("gc", "--json")
    assert cleaned.returncode == 0, cleaned.stderr
    assert not _tasks(bench, "processing")
    assert bench.scratch() == []
    record = bench.show(image)
    # An import that had published the image before it died is completed, any other is taken back.
    assert sorted(copy["url"] for copy in record["locations"]) == [
        f"file://{path}" for path in bench.copies()
    ]
    if record["status"] == "active":
        assert record["locations"]
        return
    assert record["status"] == "queued"
    assert bench.copies() == []
    code, report = bench.importing(disk, "--image", image)
    assert code == 0, report["error"]
    assert len(bench.copies()) == 2


def test_the_next_import_of_the_image_takes_over_without_gc(bench: Bench, disk: Path) -> None:
    image = _create(bench)
    process = bench.start("run", "pipeline.yaml", "-", "--image", image, "--json")
    _wait_for_event(process, "task.processing")
    process.kill()
    process.communicate()
    assert bench.show(image)["status"] == "importing"
    code, report = bench.importing(disk, "--image", image)
    assert code == 0, report["error"]
    assert bench.show(image)["status"] == "active"
    statuses = {task["status"] for task in json.loads(bench.run("tasks", "list", "--json").stdout)}
    assert statuses == {"failure", "success"}


def test_killed_with_staged_data_the_image_takes_new_data(bench: Bench, disk: Path) -> None:
    image = _create(bench)
    assert bench.run("images", "stage", image, disk).returncode == 0
    process = bench.start("run", "pipeline.yaml", "--image", image, "--json")
    _wait_for_event(process, "task.processing")
    process.kill()
    process.communicate()
    code, report = bench.importing("--image", image)
    assert code == 7
    assert "nothing is staged" in report["error"]["message"]
    assert "images stage" in report["error"]["hint"]
    assert bench.run("images", "stage", image, disk).returncode == 0
    code, report = bench.importing("--image", image)
    assert code == 0, report["error"]


ORPHANS = """
import os, signal, subprocess
from imageport_builtin.limited_process import leash

for _ in range(10):
    if os.fork() == 0:
        subprocess.Popen([*leash(60), "--", "sleep", "60"])
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
"""


def test_a_program_does_not_outlive_an_import_that_was_killed_while_it_started() -> None:
    # The output ends when nobody has it any more, the programs included.
    subprocess.run([sys.executable, "-c", ORPHANS], check=True, stdout=subprocess.PIPE, timeout=40)


def _wait_for_event(process: subprocess.Popen[str], kind: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("type") == kind:
            return


def _tasks(bench: Bench, status: str) -> list[str]:
    tasks = json.loads(bench.run("tasks", "list", "--json").stdout)
    return [task["id"] for task in tasks if task["status"] == status]
