"""Many imports into one SQLite catalog at the same time: all of them succeed.

Twenty commands at once, with others that get in their way, are in ``tests/faults/test_many_processes.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.bench.file_server import serving
from tests.bench.inputs import MIB, Inputs
from tests.bench.many import commands_at_once, in_processes
from tests.bench.measuring import BenchFailed


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    inputs = Inputs(tmp_path_factory.mktemp("inputs"), size=MIB, small_size=64 << 10, huge_size=MIB)
    inputs.make()
    return inputs


@pytest.fixture(scope="module")
def url(inputs: Inputs) -> Iterator[str]:
    with serving(inputs.folder) as url:
        yield url


def test_commands_at_once_are_timed_until_the_last_has_succeeded(
    inputs: Inputs, url: str, tmp_path: Path
) -> None:
    assert commands_at_once(tmp_path, inputs, url, 3) > 0
    with pytest.raises(BenchFailed, match=r"2 of 2 have failed; the first: error: .*404"):
        commands_at_once(tmp_path, replace(inputs, small_size=1), url, 2)


def test_two_hundred_imports_at_once_in_four_processes_all_succeed(
    inputs: Inputs, url: str, tmp_path: Path
) -> None:
    assert len(in_processes(tmp_path, inputs, url, processes=4, count=50, at_once=50)) == 200
