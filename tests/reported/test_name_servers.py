"""Downloads from a name that the system's own resolver waits for."""

from __future__ import annotations

import contextlib
import json
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("silent_name_server.py")
SITE = """
catalog: sqlite:///catalog.db
staging: {directory: staging}
stores: [{use: file, id: one, with: {directory: one}}]
limits: {connect_timeout: 1, read_timeout: 1, download_deadline: 60}
"""


def _with_silent_name_server(folder: Path, number: int, *arguments: str) -> dict[str, Any]:
    """Run the command where no name server answers; the system would wait for 150 s."""
    (folder / "imageport.yaml").write_text(SITE)
    (folder / "web.yaml").write_text("name: web\nsource: {use: web-download}\n")
    done = subprocess.run(
        [
            *("unshare", "--map-root-user", "--net", "--mount", sys.executable, SCRIPT, str(number)),
            *(sys.executable, "-m", "imageport", *arguments),
        ],
        cwd=folder,
        env={"HOME": str(folder), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "LOGNAME": "tester"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["asked"] == "\x06silent\x07example"
    return found


def _assert_nothing_left(folder: Path) -> None:
    for name in ("one", "staging"):
        assert [path for path in (folder / name).rglob("*") if path.is_file()] == []
    with contextlib.closing(sqlite3.connect(folder / "catalog.db")) as catalog:
        assert catalog.execute("SELECT id FROM images WHERE status != 'queued'").fetchall() == []


def test_a_name_server_that_never_answers_is_given_up_after_the_connect_timeout(tmp_path: Path) -> None:
    done = _with_silent_name_server(
        tmp_path, 0, "run", "web.yaml", "http://silent.example/disk.raw", "--json"
    )
    assert done["code"] == 4
    report = json.loads(done["out"].splitlines()[-1])
    assert report["error"]["code"] == "source-unavailable"
    assert report["error"]["message"] == (
        "the host name silent.example cannot be resolved: no name server answered within 1 s"
    )
    assert (
        report["error"]["hint"]
        == "check the network and the name servers of this machine, in /etc/resolv.conf"
    )
    _assert_nothing_left(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_import_that_waits_for_a_name_server_is_interrupted_at_once(tmp_path: Path, number: int) -> None:
    done = _with_silent_name_server(tmp_path, number, "run", "web.yaml", "http://silent.example/disk.raw")
    assert done["code"] == 130
    assert "error: the import was interrupted" in done["err"]
    _assert_nothing_left(tmp_path)
