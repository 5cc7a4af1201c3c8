"""Killed with signal 9 at any moment, an import is rolled back by the next command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.conftest import Bench
from tests.noise import noise


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    raw = tmp_path / "disk.raw"
    raw.write_bytes(noise(24 << 20))
    subprocess.run(
        ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, tmp_path / "disk.qcow2"], check=True
    )
    return tmp_path / "disk.qcow2"


def _create(bench: Bench) -> str:
    formats = ("--disk-format", "qcow2", "--container-format", "bare")
    record = json.loads(bench.run("images", "create", "--name", "victim", *formats, "--json").stdout)
    return str(record["id"])


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
    assert bench.run("images", "stage", image, disk).exit_code == 0
    process = bench.start("run", "pipeline.yaml", "--image", image, "--json")
    _wait_for_event(process, "task.processing")
    process.kill()
    process.communicate()
    code, report = bench.importing("--image", image)
    assert code == 7
    assert "nothing is staged" in report["error"]["message"]
    assert "images stage" in report["error"]["hint"]
    assert bench.run("images", "stage", image, disk).exit_code == 0
    code, report = bench.importing("--image", image)
    assert code == 0, report["error"]


ORPHANS = """
import os, signal, subprocess
from imageport_builtin.limited_process import limit_prefix

for _ in range(10):
    if os.fork() == 0:
        subprocess.Popen([*limit_prefix(60), "--", "sleep", "60"])
        os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
"""


def test_a_program_does_not_outlive_an_import_that_was_killed_while_it_started() -> None:
    # The output ends when all processes have closed it, the programs included.
    subprocess.run([sys.executable, "-c", ORPHANS], check=True, stdout=subprocess.PIPE, timeout=40)


def _wait_for_event(process: subprocess.Popen[str], kind: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("type") == kind:
            return
