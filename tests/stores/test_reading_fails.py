"""A disk that fails while a copy is read is a fault of the store, and of no file that is written."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from imageport.testing import RunImageport


def failing(path: Path, start: int = 0) -> Iterator[bytes]:
    yield path.read_bytes()[start:][:1000]
    raise OSError(errno.EIO, "Input/output error")


@pytest.fixture
def command(run_imageport: RunImageport) -> RunImageport:
    folder = run_imageport.folder
    (folder / "disk.raw").write_bytes(b"boot me" + bytes(100_000))
    (folder / "pipeline.yaml").write_text("name: test\nsource: {use: glance-direct}\n")
    assert run_imageport.inside("run", "pipeline.yaml", "disk.raw").exit_code == 0
    return run_imageport


def test_an_export_names_the_store_and_not_the_target(
    command: RunImageport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imageport.data.file_chunks", failing)
    done = command.inside("images", "export", "disk.raw", "back.raw")
    assert done.exit_code == 6
    assert "error: cannot use store 'default': Input/output error" in done.stderr
    assert "where: store 'default'" in done.stderr
    assert "hint: check the disk and file system of store 'default'" in done.stderr
    assert not (command.folder / "back.raw").exists()


def test_a_source_on_a_disk_that_fails_is_reported_without_an_internal_error(
    command: RunImageport, monkeypatch: pytest.MonkeyPatch
) -> None:
    (command.folder / "other.raw").write_bytes(b"boot me" + bytes(100_000))
    monkeypatch.setattr("imageport.data.file_chunks", failing)
    done = command.inside("run", "pipeline.yaml", "other.raw", "--json")
    assert done.exit_code != 0
    assert "Input/output error" in done.report["error"]["message"]
    assert "defect" not in done.report["error"]["hint"]
    assert [path.name for path in (command.folder / "images").iterdir() if path.name.startswith(".")] == []
