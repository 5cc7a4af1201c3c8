"""``.ci/prepare`` reports in one line what a machine lacks, and does nothing where nothing is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder with the script in its place."""
    clone = tmp_path / "clone"
    (clone / ".ci").mkdir(parents=True)
    shutil.copy(PROJECT / ".ci/prepare", clone / ".ci")
    (clone / "pyproject.toml").touch()
    return clone


def prepare(clone: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [clone / ".ci/prepare", "demo"],
        env={**os.environ, "PYTHON": sys.executable, **environment},
        capture_output=True,
        check=False,
        text=True,
    )


def test_an_interpreter_that_is_not_there_is_named(clone: Path) -> None:
    finished = prepare(clone, PYTHON="python9")
    assert finished.returncode == 1
    assert finished.stderr == (
        "imageport: no python9 here: install Python 3.11 or newer, or name one with PYTHON=...\n"
    )


def test_an_old_interpreter_is_refused(clone: Path, tmp_path: Path) -> None:
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2 && exit\nexit 1\n')
    old.chmod(0o755)
    finished = prepare(clone, PYTHON=str(old))
    assert finished.returncode == 1
    assert finished.stderr == (
        "imageport: Python 3.9.2 is too old: name Python 3.11 or newer with PYTHON=...\n"
    )


def test_an_interpreter_that_does_not_run_is_named(clone: Path, tmp_path: Path) -> None:
    shim = tmp_path / "python"
    shim.write_text("#!/bin/sh\necho 'pyenv: python: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    finished = prepare(clone, PYTHON=str(shim))
    assert finished.returncode == 1
    assert finished.stderr == (f"imageport: {shim} does not run: name Python 3.11 or newer with PYTHON=...\n")


def test_nothing_is_done_twice(clone: Path) -> None:
    programs = clone / ".venv/bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (clone / ".venv/.prepared-demo").touch()
    os.utime(clone / "pyproject.toml", (0, 0))
    finished = prepare(clone)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    assert list(programs.iterdir()) == [programs / "python"]


def test_missing_packages_are_named_where_they_cannot_be_installed(clone: Path, tmp_path: Path) -> None:
    """A machine with bash and Python alone, and a user who may not become root."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "dirname", "env"):
        (programs / name).symlink_to(str(shutil.which(name)))
    for name, text in (("id", "echo 1000"), ("sudo", "exit 1")):
        (programs / name).write_text(f"#!/bin/sh\n{text}\n")
        (programs / name).chmod(0o755)
    finished = prepare(clone, PATH=str(programs))
    assert finished.returncode == 1
    assert finished.stderr == "imageport: install these packages first: sudo apt-get install qemu-utils\n"
