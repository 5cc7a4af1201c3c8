from __future__ import annotations

import re

import pytest
from tests.imageport_builtin.observer_bench import event

from imageport_builtin.log_lines import LogLines, LogLinesConfig


def test_each_logged_event_is_one_line_with_a_time(capfd: pytest.CaptureFixture[str]) -> None:
    log = LogLines(LogLinesConfig())
    for sent in (
        event("task.processing"),
        event("step.start", step="fetch", message="stage"),
        event("step.end", step="fetch", message="stage"),
        event("check", step="checksum", message="sha256", verdict="passed"),
        event("image.upload", store="a"),
        event("image.upload", store="b", error="disk full"),
        event("task.failure", error="no store"),
    ):
        log.on_progress(sent)
    out, err = capfd.readouterr()
    assert out == ""
    lines = [re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d ", "", line) for line in err.splitlines()]
    assert lines == [
        "task t1: importing image 3f4a",
        "fetch: stage",
        "checksum: sha256 passed",
        "store a: published",
        "store b: failed: disk full",
        "task t1: failed: no store",
    ]


def test_progress_of_a_lane_is_reported_once_in_an_interval(capfd: pytest.CaptureFixture[str]) -> None:
    log = LogLines(LogLinesConfig(interval=10))
    for second in range(25):
        log.on_progress(
            event("progress", at=1000.0 + second, lane="a", done=second << 20, total=100 << 20, waits="b")
        )
    lines = capfd.readouterr().err.splitlines()
    assert [line.partition("a: ")[2] for line in lines] == [
        "10.0 MiB of 100.0 MiB, slowed down by b",
        "20.0 MiB of 100.0 MiB, slowed down by b",
    ]


def test_no_message_can_forge_a_line_or_reach_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    LogLines(LogLinesConfig()).on_progress(event("task.failure", error="bad\n2024 forged\x1b[2J"))
    err = capfd.readouterr().err
    assert err.count("\n") == 1
    assert "bad\\n2024 forged\\x1b[2J" in err
