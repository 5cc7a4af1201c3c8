"""Times of commands that do next to nothing, beside the interpreter alone; benchmarks report, nothing more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from tests.bench import startup

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import pydantic'": [sys.executable, "-c", "from pydantic import BaseModel"],
    **{
        name: [sys.executable, "-P", "-m", "imageport", *arguments]
        for name, arguments in startup.COMMANDS.items()
    },
}


@pytest.mark.parametrize("name", COMMANDS)
def test_start_of(benchmark: BenchmarkFixture, tmp_path: Path, name: str) -> None:
    startup.prepare(tmp_path)

    def run() -> int:
        return subprocess.run(
            COMMANDS[name], cwd=tmp_path, env={"HOME": str(tmp_path)}, stdout=subprocess.DEVNULL, check=False
        ).returncode

    code: int = benchmark.pedantic(run, rounds=10, warmup_rounds=1)  # type: ignore[no-untyped-call]
    assert code == 0


def test_two_checkouts_are_compared_command_by_command() -> None:
    found = startup.compare(startup.REPOSITORY, startup.REPOSITORY, rounds=1)
    assert {name: (len(before), len(after)) for name, (before, after) in found.items()} == dict.fromkeys(
        startup.COMMANDS, (1, 1)
    )
    lines = startup.report(found).splitlines()
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == list(startup.COMMANDS)
