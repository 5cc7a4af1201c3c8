from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest
from rich.console import Console
from rich.live import Live
from tests.cli.command_line import CommandLine
from tests.imageport_builtin.observer_bench import event

from imageport import Event, NoConfig
from imageport_builtin.terminal import Terminal


def _on_a_terminal(cli: CommandLine, columns: int, *, stop: bool) -> tuple[int, str]:
    """Run a slow import with a terminal as standard error; return its exit code and what was drawn."""
    ours, theirs = pty.openpty()
    cli.environ |= {"COLUMNS": str(columns), "TERM": "xterm"}
    process = subprocess.Popen(
        cli.command("run", "p.yaml", "-"),
        cwd=cli.folder, env=cli.environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    assert process.stdin is not None
    drawn = b""
    written = 0
    while written < 12 or b"slowest now" not in drawn:
        process.stdin.write(bytes(1 << 20))
        process.stdin.flush()
        written += 1
        if select.select([ours], [], [], 0.1)[0]:
            drawn += os.read(ours, 65536)
    if stop:
        process.send_signal(signal.SIGINT)
    else:
        process.stdin.close()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            drawn += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    code = process.wait(timeout=30)
    process.stdin.close()
    return code, drawn.decode()


def test_lanes_are_drawn_with_bytes_and_rate_and_the_slowest_is_named(tmp_path: Path) -> None:
    code, drawn = _on_a_terminal(CommandLine(tmp_path), 100, stop=False)
    assert code == 0
    for expected in ("glance-direct", "digests", "one", "two", "MiB/s", "slowest now: the source"):
        assert expected in drawn
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l"), "the cursor is shown again"


def test_a_narrow_terminal_gets_numbers_only_and_ctrl_c_ends_cleanly(tmp_path: Path) -> None:
    code, drawn = _on_a_terminal(CommandLine(tmp_path), 50, stop=True)
    assert code == 130
    assert "━" not in drawn
    assert "MiB/s" in drawn
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l"), "the cursor is shown again"
    assert "the import was interrupted" in drawn
    assert "Traceback" not in drawn


def test_nothing_is_drawn_where_standard_error_is_not_a_terminal(tmp_path: Path) -> None:
    cli = CommandLine(tmp_path)
    with (cli.folder / "p.yaml").open("a") as pipeline:
        pipeline.write("observers: [{use: terminal}]\n")
    assert cli("run", "p.yaml", cli.image, "-q").err == ""


def _heard(*events: Event) -> Terminal:
    terminal = Terminal(NoConfig())
    for one in events:
        terminal.on_progress(one)
    return terminal


_BEGUN = (
    event("step.start", step="fetch", message="stage"),
    event("progress", lane="fetch", done=0),
    event("step.start", step="unpack", message="transform"),
    event("progress", lane="unpack", done=0),
    event("progress", lane="ceph", store="ceph", done=0),
)


@pytest.mark.parametrize(
    ("waits", "shown"),
    [
        (None, "the source (fetch)"), ("fetch", "the source (fetch)"), ("unpack", "step unpack"),
        ("ceph", "store ceph"), ("md5", "digest md5"), ("inspection", "the inspection"),
    ],
)  # fmt: skip
def test_what_is_slowest_is_reported_in_plain_words(waits: str | None, shown: str) -> None:
    terminal = _heard(*_BEGUN, event("progress", lane="digests", done=5, waits=waits))
    assert f"slowest now: {shown}\n" in _drawn(terminal, 80)


def test_what_is_slowest_is_reported_while_files_are_made_too() -> None:
    terminal = _heard(*_BEGUN[:-1], event("progress", lane="unpack", done=9, waits="unpack"))
    terminal.on_progress(event("progress", lane="staging", done=9))
    assert "slowest now: step unpack\n" in _drawn(terminal, 80)
    terminal.on_progress(event("progress", lane="convert", done=9))
    assert "slowest now: step convert\n" in _drawn(terminal, 80)


def test_the_times_of_the_stages_do_not_hide_a_slow_store() -> None:
    terminal = _heard(*_BEGUN, event("progress", lane="ceph", store="ceph", done=5, waits="ceph"))
    terminal.on_progress(event("progress", lane="fetch", done=9, waits="fetch"))
    assert "slowest now: store ceph\n" in _drawn(terminal, 80)


def test_a_lane_that_begins_again_has_no_negative_rate() -> None:
    terminal = _heard(*(event("progress", lane="staging", done=done, total=9) for done in (0, 9, 1)))
    assert "0 B/s" in _drawn(terminal, 80)
    assert "-" not in _drawn(terminal, 80)


def test_steps_that_move_no_bytes_get_no_lane() -> None:
    terminal = Terminal(NoConfig())
    terminal.on_progress(event("step.start", step="inject"))
    terminal.on_progress(event("step.end", step="inject"))
    terminal.on_progress(event("progress", lane="fetch", done=5))
    assert list(terminal._lanes) == ["fetch"]


def _drawn(terminal: Terminal, columns: int) -> str:
    """Return what a live display of that many columns shows."""
    console = Console(width=columns, height=24, force_terminal=True, color_system=None)
    terminal._live = Live(console=console)
    with console.capture() as capture:
        console.print(terminal._render())
    return capture.get()


@pytest.mark.parametrize("total", [None, 100 << 20])
def test_a_lane_without_a_byte_has_an_empty_bar(total: int | None) -> None:
    terminal = Terminal(NoConfig())
    terminal.on_progress(event("progress", lane="fetch", done=0, total=total))
    assert "━" not in _drawn(terminal, 100)


def test_a_terminal_of_80_columns_shows_every_number() -> None:
    terminal = Terminal(NoConfig())
    for done in (0, 13 << 20):
        terminal.on_progress(event("progress", lane="image_decompression", done=done, total=100 << 20))
    drawn = _drawn(terminal, 80)
    for expected in ("image_decompression", "━", "13.0 MiB of 100.0 MiB", "/s", " left"):
        assert expected in drawn


@pytest.mark.parametrize(
    ("columns", "has_bars", "has_times"), [(80, True, True), (60, False, True), (59, False, False)]
)
def test_what_there_is_no_room_for_is_left_out(columns: int, has_bars: bool, has_times: bool) -> None:
    now = time.time() - 5000
    terminal = _heard(
        *(
            event("progress", now + done, lane="image_decompression", done=done << 20, total=9999 << 20)
            for done in (0, 5000)
        )
    )
    drawn = _drawn(terminal, columns)
    assert "4.9 GiB of 9.8 GiB" in drawn
    assert "/s" in drawn
    assert ("━" in drawn, " left" in drawn) == (has_bars, has_times)
    assert ("image_decompression  " in drawn) == has_bars
    assert max(map(len, drawn.splitlines())) <= columns


def test_a_lane_without_a_total_has_no_bar() -> None:
    assert "━" not in _drawn(_heard(event("progress", lane="fetch", done=5)), 80)
