"""A file appears as a whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from imageport.atomic_file import new_file

WRITE_AND_WAIT = """
import os, sys, time
from pathlib import Path
from imageport.atomic_file import new_file
with new_file(Path(sys.argv[1]), overwrite=True) as descriptor:
    os.write(descriptor, b"half")
    print(flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("overwrite", [False, True])
def test_the_file_appears_at_the_end(tmp_path: Path, overwrite: bool) -> None:
    target = tmp_path / "out.raw"
    with new_file(target, overwrite=overwrite) as descriptor:
        Path(f"/proc/self/fd/{descriptor}").write_bytes(b"new")
        assert list(tmp_path.iterdir()) == []
    assert [(file, file.read_bytes()) for file in tmp_path.iterdir()] == [(target, b"new")]


def test_a_file_that_comes_between_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out.raw"
    with pytest.raises(FileExistsError), new_file(target, overwrite=False):
        target.write_text("precious")
    assert [(file, file.read_text()) for file in tmp_path.iterdir()] == [(target, "precious")]


def test_a_file_is_replaced_when_that_is_wanted(tmp_path: Path) -> None:
    target = tmp_path / "out.raw"
    target.write_text("old")
    with new_file(target, overwrite=True):
        assert target.read_text() == "old"
    assert [(file, file.read_text()) for file in tmp_path.iterdir()] == [(target, "")]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="damaged"), new_file(tmp_path / "out.raw", overwrite=False):
        raise ValueError("damaged")
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_nothing(tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", WRITE_AND_WAIT, str(tmp_path / "out.raw")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        process.kill()
    assert list(tmp_path.iterdir()) == []
