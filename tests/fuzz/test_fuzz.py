"""The fuzzers find nothing in a few cases that are the same each time, and would find something."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.fuzz import running
from tests.fuzz.case import Case, Outcome
from tests.fuzz.running import TARGETS, fuzz

_CASES = 60


@pytest.mark.parametrize("target", TARGETS)
def test_our_reader_agrees_with_the_reference_tools(target: str) -> None:
    tally = fuzz(target, seed=1, cases=_CASES)

    assert [str(finding) for finding in tally.findings] == []
    assert tally.tried == _CASES
    assert tally.accepted > _CASES // 20


def test_a_seed_makes_the_same_cases_again(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        target = TARGETS["tar"](tmp_path / name)
        made.append([running.case_of(target, 5, number).data for number in range(60)])

    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("outcome", "finding"),
    [
        (Outcome(b"other bytes"), "accepted, and GNU tar has other content"),
        (Outcome(None, "it is damaged"), "accepted, and GNU tar refuses it: it is damaged"),
    ],
)
def test_a_reference_tool_that_disagrees_is_a_finding(outcome: Outcome, finding: str) -> None:
    def references(self: object, case: Case, folder: Path) -> list[tuple[str, Outcome]]:
        return [("GNU tar", outcome)]

    with patch.multiple(TARGETS["tar"], references=references, justified=lambda *_: False):
        tally = fuzz("tar", seed=1, cases=20)

    assert len(tally.findings) == tally.accepted > 0
    assert finding in str(tally.findings[0])


@pytest.mark.parametrize(("error", "finding"), [(KeyError("name"), "raises KeyError"), (None, "is not read")])
def test_an_error_and_a_refused_whole_file_are_findings(error: Exception | None, finding: str) -> None:
    def ours(self: object, case: Case) -> Outcome:
        if error is not None:
            raise error
        return Outcome(None, "it is damaged")

    with patch.multiple(TARGETS["tar"], ours=ours):
        tally = fuzz("tar", seed=1, cases=20)

    assert any(finding in str(each) for each in tally.findings)


def test_the_command_prints_its_seed_and_what_it_tried(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "gzip",
        "--seed",
        "7",
        "--case",
        "3",
        "--keep",
        str(tmp_path / "kept"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == ["seed 7", done.stdout.splitlines()[1]]
    assert "gzip         1 tried" in done.stdout
    assert not (tmp_path / "kept").exists()
