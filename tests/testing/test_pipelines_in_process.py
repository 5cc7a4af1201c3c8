"""``run_pipeline`` runs a whole import in the process of the test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from imageport.testing import MemoryStore, run_pipeline

BODY = b"boot me" + bytes(100_000)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "disk.raw").write_bytes(BODY)
    yield "disk.raw"
    MemoryStore.clear()


def test_a_pipeline_runs_with_a_store_of_the_site(tmp_path: Path, disk: str) -> None:
    done = run_pipeline(tmp_path, {"steps": [{"use": "no_op"}]}, disk)
    assert done.exit_code == 0, done.stderr
    assert done.copies["default"].read_bytes() == BODY
    assert "image.activate" in {event["type"] for event in done.events}


def test_a_plugin_takes_part_that_is_not_installed(tmp_path: Path, disk: str) -> None:
    stores = [{"use": "memory"}, {"use": "file", "with": {"directory": "images"}}]
    done = run_pipeline(tmp_path, {"stores": stores}, disk, plugins={"memory": MemoryStore})
    assert done.exit_code == 0, done.stderr
    [copy] = MemoryStore.published.values()
    assert copy.content == BODY


@pytest.mark.parametrize("stage", ["open", "write", "finish", "publish"])
def test_a_store_fails_where_the_test_wants_it(tmp_path: Path, disk: str, stage: str) -> None:
    stores = [
        {"use": "file", "with": {"directory": "images"}},
        {"use": "memory", "with": {"fails_at": [stage]}},
    ]
    done = run_pipeline(tmp_path, {"stores": stores}, disk, plugins={"memory": MemoryStore})
    assert done.exit_code == 6
    assert done.report["error"]["message"] == f"shelf default fails at {stage}"
    assert MemoryStore.published == {}
    assert MemoryStore.hidden == []
    assert list((tmp_path / "images").iterdir()) == []


def test_the_fixtures_of_pytest_import_nothing_before_a_test_uses_them() -> None:
    code = (
        "import sys, imageport.testing.pytest_plugin;"
        "print(sorted(name for name in sys.modules if name.split('.')[0] in ('imageport', 'pydantic', 'typer')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = ["imageport", "imageport.lazy", "imageport.testing", "imageport.testing.pytest_plugin"]
    assert done.stdout.strip() == str(expected)
