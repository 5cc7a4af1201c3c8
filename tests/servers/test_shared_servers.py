"""A server that processes share is started once, and stops when the last of them is gone, even if that was killed."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.servers.shared import VARIABLE

PROJECT = Path(__file__).parents[2]

USER = """
import json, sys
from tests.servers.shared import shared_server
with shared_server("idle") as facts:
    print(json.dumps(facts), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "servers"


def use_server(folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", USER], cwd=PROJECT, env={**os.environ, VARIABLE: str(folder)},
        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def facts_of(user: subprocess.Popen[str]) -> dict[str, str]:
    assert user.stdout is not None
    facts: dict[str, str] = json.loads(user.stdout.readline())
    return facts


def await_ends(*processes: int) -> None:
    for process in processes:
        select.select([process], [], [])
        os.close(process)


def test_it_is_started_once_and_stops_with_the_last_user(folder: Path) -> None:
    with use_server(folder) as first, use_server(folder) as second:
        facts = facts_of(first)
        assert facts_of(second) == facts
        processes = [os.pidfd_open(int(pid)) for pid in facts.values()]
        first.communicate("")
        with use_server(folder) as third:
            assert facts_of(third) == facts
            for user in (second, third):
                user.send_signal(signal.SIGKILL)
    await_ends(*processes)
    assert not folder.exists()


def test_it_ends_with_its_keeper(folder: Path) -> None:
    with use_server(folder) as user:
        facts = facts_of(user)
        server = os.pidfd_open(int(facts["server"]))
        os.kill(int(facts["keeper"]), signal.SIGKILL)
        await_ends(server)
        user.communicate("")


def test_it_starts_again_after_its_end(folder: Path) -> None:
    seen = []
    for _ in range(2):
        with use_server(folder) as user:
            facts = facts_of(user)
            seen.append(facts["server"])
            keeper = os.pidfd_open(int(facts["keeper"]))
            user.communicate("")
        await_ends(keeper)
    assert len(set(seen)) == 2
