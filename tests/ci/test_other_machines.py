"""The scripts for tests on other machines find Pythons, and keep tests from writing to this machine."""

from __future__ import annotations

import os
import subprocess
import uuid
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")


def interpreter(version: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROJECT / ".ci/interpreter", version],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        check=False,
        text=True,
    )


def make_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_python_of_pyenv_is_found_behind_a_shim_that_does_not_run(tmp_path: Path) -> None:
    make_program(tmp_path / "shims/python3.99", "echo 'pyenv: command not found' >&2; exit 127")
    real = tmp_path / "versions/3.99.1/bin/python3.99"
    make_program(real, "exit 0")
    path = f"{tmp_path}/shims:{os.environ['PATH']}"
    finished = interpreter("3.99", PATH=path, PYENV_ROOT=str(tmp_path))
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, f"{real}\n", "")


def test_a_python_that_is_missing_is_an_error_that_names_its_package(tmp_path: Path) -> None:
    finished = interpreter("3.99", HOME=str(tmp_path))
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr == (
        "imageport: no Python 3.99 here: apt-get install python3.99-venv (on Ubuntu, add-apt-repository "
        "ppa:deadsnakes/ppa has it), or pyenv install 3.99\n"
    )


def box(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROJECT / ".ci/box", *arguments], cwd=PROJECT, capture_output=True, check=False, text=True
    )


@needs_root
def test_nothing_but_the_named_folders_can_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    name = f"written-{uuid.uuid4()}"
    script = 'for folder in "$@"; do touch "$folder/$name" && echo "$folder"; done'
    finished = box(
        *("--writable", folder, "--", "env", f"name={name}", "sh", "-c", script, "sh"),
        *(folder, "/tmp", "/dev/shm", "/var/tmp", "/etc", PROJECT, Path.home()),
    )
    assert finished.stdout.splitlines() == [str(folder), "/tmp", "/dev/shm"]
    assert finished.stderr.count("Read-only file system") == 4
    assert [path.name for path in folder.iterdir()] == [name]
    assert not Path("/tmp", name).exists()
    assert not Path("/dev/shm", name).exists()


@needs_root
def test_there_is_no_network_but_one_address() -> None:
    finished = box("--ipv4-only", "--", "cat", "/proc/net/dev", "/proc/net/if_inet6")
    devices = [line.split(":")[0].strip() for line in finished.stdout.splitlines() if ":" in line]
    assert devices == ["lo"]


@needs_root
def test_the_user_has_no_rights() -> None:
    finished = box("--as-nobody", "--", "sh", "-c", "id -un; grep CapEff /proc/self/status")
    assert finished.stdout.split() == ["nobody", "CapEff:", "0" * 16]


def test_an_unknown_option_is_named() -> None:
    finished = box("--writeable", "/tmp", "--", "true")
    assert (finished.returncode, finished.stdout) == (1, "")
    assert finished.stderr == "imageport: no such option of .ci/box: '--writeable'\n"
