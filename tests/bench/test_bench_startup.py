"""Times of commands that do next to nothing, beside the interpreter alone; benchmarks report, nothing more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "python -c 'import pydantic'": [sys.executable, "-c", "from pydantic import BaseModel"],
    "imageport --version": [sys.executable, "-m", "imageport", "--version"],
    "imageport plugins list": [sys.executable, "-m", "imageport", "plugins", "list"],
}


@pytest.mark.parametrize("name", COMMANDS)
def test_start_of(benchmark: BenchmarkFixture, tmp_path: Path, name: str) -> None:
    def run() -> int:
        return subprocess.run(
            COMMANDS[name], cwd=tmp_path, env={"HOME": str(tmp_path)}, stdout=subprocess.DEVNULL, check=False
        ).returncode

    code: int = benchmark.pedantic(run, rounds=10, warmup_rounds=1)  # type: ignore[no-untyped-call]
    assert code == 0
