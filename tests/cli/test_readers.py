"""Commands that only read do not wait for a process that keeps the right to write the catalog."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from imageport.catalog import sqlite
from imageport.testing.command import RunImageport

READERS = [
    ("images", "list"),
    ("images", "show", "debian"),
    ("images", "export", "debian", "copy.raw"),
    ("tasks", "list"),
    ("tasks", "show", "TASK"),
    ("stores", "list"),
    ("plan", "import.yaml", "disk.raw"),
    ("doctor",),
    ("gc",),
    ("gc", "--dry-run"),
]


def test_a_stopped_writer_does_not_keep_readers_waiting(
    run_imageport: RunImageport, site_folder: Path, raw_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (site_folder / "import.yaml").write_text("name: import\nsource: {use: glance-direct}\n")
    (site_folder / "disk.raw").write_bytes(raw_disk.read_bytes())
    done = run_imageport.inside("run", "import.yaml", "disk.raw", "--name", "debian", "--json")
    assert done.exit_code == 0
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0)
    with closing(sqlite3.connect(site_folder / "catalog.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        for reader in READERS:
            words = [done.report["task_id"] if word == "TASK" else word for word in reader]
            read = run_imageport.inside(*words)
            assert read.exit_code == 0, (reader, read.stderr)
        refused = run_imageport.inside("images", "set", "debian", "--name", "other")
        assert refused.exit_code == 1
        assert "is busy" in refused.stderr
        assert "look for a process that was stopped while it wrote" in refused.stderr
