"""``make demo`` does what the README promises, with and without packages to build the disk from."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return a folder with what the demo needs of the repository."""
    for folder in ("docs/demo", "pipelines"):
        shutil.copytree(PROJECT / folder, tmp_path / "clone" / folder)
    return tmp_path / "clone"


def demo(clone: Path, environment: Mapping[str, str]) -> str:
    finished = subprocess.run(
        [sys.executable, "docs/demo/demo.py"],
        cwd=clone,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )
    assert finished.returncode == 0, finished.stdout
    return finished.stdout


def equal_copies(printed: str) -> list[str]:
    return [line.split()[1].split("/")[-2] for line in printed.splitlines() if line.startswith("equal ")]


def test_the_demo_stores_the_disk_twice_unchanged(clone: Path) -> None:
    printed = demo(clone, {})
    assert equal_copies(printed) == ["archive", "fast"]
    (look,) = [line for line in printed.splitlines() if line.startswith("look ")]
    program = Path(sys.executable).with_name("imageport")
    shown = subprocess.run(
        [program, *look.split()[2:]], cwd=clone, check=True, capture_output=True, text=True
    )
    assert "active" in shown.stdout


def test_the_demo_can_be_run_again_and_needs_no_packages(clone: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "apt-get").write_text("#!/bin/sh\nexit 100\n")
    (programs / "apt-get").chmod(0o755)
    offline = {"PATH": f"{programs}:{os.environ['PATH']}"}
    for _ in range(2):
        printed = demo(clone, offline)
        assert "a boot sector of our own" in printed
        assert equal_copies(printed) == ["archive", "fast"]
