"""The harness of ``make bench``, with a disk of 4 MiB: it measures correctly, and its verdicts are right.

That the flows bring the right bytes is seen in ``tests/dataplane/test_bytes_moved.py``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.bench.crowd import SEARCHED, search
from tests.bench.file_server import serving
from tests.bench.flows import WEB_1, WEB_1_SHA512, WEB_3, copies, run_flow
from tests.bench.inputs import MIB, Inputs
from tests.bench.jobs import RECORDED, THREADS_AT_ONCE, Bench
from tests.bench.measuring import BenchFailed, Cost, Sample, measure
from tests.bench.results import Results
from tests.bench.rounds import go_round, one
from tests.bench.table import report
from tests.bench.yardsticks import COPY, CURL, DIGESTS, SPARSE_WRITE, YARDSTICKS, run_yardstick

from imageport.testing.command import sha512

MACHINE = {"processors": "2 x Processor"}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    inputs = Inputs.of_size(tmp_path_factory.mktemp("inputs"), 4 * MIB)
    inputs.make()
    return inputs


@pytest.fixture(scope="module")
def url(inputs: Inputs) -> Iterator[str]:
    with serving(inputs.folder) as url:
        yield url


def test_the_disk_is_half_zeros_which_are_written(inputs: Inputs) -> None:
    content = inputs.raw.read_bytes()
    assert content[MIB : 2 * MIB] == bytes(MIB)
    assert content.count(b"\0") == pytest.approx(2 * MIB, rel=0.02)
    assert inputs.raw.stat().st_blocks * 512 >= len(content)
    assert inputs.huge.stat().st_size == 128 * MIB
    assert inputs.huge.stat().st_blocks * 512 < 16 * MIB


def test_the_cost_of_a_flow_is_that_of_its_command(inputs: Inputs, url: str, tmp_path: Path) -> None:
    cost = run_flow(WEB_1_SHA512, inputs, url, tmp_path)
    [copy] = copies(tmp_path / "store1")
    assert sha512(copy) == sha512(inputs.raw)
    assert cost.cpu_seconds > 0
    assert cost.seconds > 0
    assert 2 * MIB <= cost.written < 8 * MIB
    # No upper bound: the kernel counts what the process that started it has taken, and here that runs all tests.
    assert cost.peak_rss > 16 * MIB


def test_flows_at_once_have_a_folder_each_and_cost_what_they_cost_together(
    inputs: Inputs, url: str, tmp_path: Path
) -> None:
    cost = run_flow(replace(WEB_1, at_once=3), inputs, url, tmp_path)
    for number in range(3):
        [copy] = copies(tmp_path / str(number) / "store1")
        assert sha512(copy) == sha512(inputs.raw)
    assert cost.written >= 3 * 2 * MIB
    assert Cost.together([Cost(2, 3, 4, 5), Cost(1, 4, 3, 6)]) == Cost(2, 7, 4, 11)


def test_the_searches_of_a_crowd_find_something(tmp_path: Path) -> None:
    found = search(tmp_path, 800, 1)
    assert set(found) == set(SEARCHED)
    assert all(cost.peak_rss > 16 * MIB for cost in found.values())


def test_every_yardstick_handles_the_whole_disk(inputs: Inputs, url: str, tmp_path: Path) -> None:
    for number, name in enumerate(YARDSTICKS):
        folder = tmp_path / str(number)
        folder.mkdir()
        run_yardstick(name, inputs, url, folder)
        assert [sha512(copy) for copy in folder.iterdir()] in ([], [sha512(inputs.raw)])


def test_a_program_that_fails_is_not_measured(tmp_path: Path) -> None:
    with pytest.raises(BenchFailed, match=r"exit code 3\n.*it is broken"):
        measure([sys.executable, "-c", "print('it is broken'); raise SystemExit(3)"], tmp_path)


def test_everything_is_measured_round_by_round_in_empty_folders(tmp_path: Path) -> None:
    ran = []

    def run(name: str, folder: Path) -> Cost:
        assert list(folder.iterdir()) == []
        (folder / "left behind").touch()
        ran.append(name)
        return Cost(seconds=len(ran))

    def fail(folder: Path) -> Cost:
        raise BenchFailed("no disk")

    jobs = [
        one("imageport", "often", lambda folder: run("often", folder), 3),
        one("glance", "once", lambda folder: run("once", folder), 1),
        one("yardstick", "never", fail, 3),
    ]
    results = go_round(jobs, 3, tmp_path)
    assert ran == ["often", "often", "often", "often", "once"]
    assert results.sample("imageport", "often") == Sample([Cost(2), Cost(3), Cost(4)])
    assert results.seconds("imageport", "often") == 3
    assert results.sample("yardstick", "never") is None
    assert results.failures == {("yardstick", "never"): "no disk"}


def test_the_table_shows_which_goals_are_met() -> None:
    results = Results(recorded=True)
    results.costs |= {("glance", title): [Cost(seconds)] for title, seconds in RECORDED.items()}
    seconds = {CURL: 2.5, DIGESTS: 3.2, COPY: 1.0, SPARSE_WRITE: 1.0}
    results.costs |= {("yardstick", title): [Cost(value)] for title, value in seconds.items()}
    results.costs["imageport", WEB_1.title] = [Cost(3.5), Cost(3.9), Cost(4.1)]
    results.costs["imageport", WEB_3.title] = [Cost(7.5)]
    results.failures["imageport", THREADS_AT_ONCE] = "the catalog is busy"
    lines = report(results, MACHINE, 2 << 30).splitlines()

    def cells(title: str) -> list[str]:
        [line] = [line for line in lines if line.startswith(f"| {title} |")]
        return [cell.strip() for cell in line.split("|")[2:-1]]

    assert cells(WEB_1.title) == [
        "27.0 (recorded)",
        "3.90 (3.50 to 4.10, n = 3)",
        "6.9x",
        "5x faster than Glance (5.40); 1.25x the slowest of curl, the digests and cp (4.00)",
        "met, met",
    ]
    assert cells(WEB_3.title)[-1] == "**not met**, met"
    assert cells(THREADS_AT_ONCE) == ["failed: the catalog is busy", "all succeed", "**not met**"]
    assert cells(WEB_1_SHA512.title)[0] == "not measured"


def test_all_rows_of_the_tables_are_measured(inputs: Inputs) -> None:
    titles = {job.title for job in Bench(inputs, "http://127.0.0.1", 5).jobs(None, 1)} | set(SEARCHED)
    lines = report(Results(), MACHINE, 2 << 30).splitlines()
    rows = {
        line.split("|")[1].strip() for line in lines if line.endswith((" unknown |", "unknown, unknown |"))
    }
    assert rows
    assert {row.removeprefix("peak RSS of ") for row in rows} - titles == set()
