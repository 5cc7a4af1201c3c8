from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cli.command_line import CommandLine
from tests.imageport_builtin.observer_bench import event, host
from tests.importing.desk import Bytes, Desk, Listener, Shelf

from imageport import Context, Event, NoConfig, Plugin, hookimpl
from imageport.events import ProgressEvent
from imageport.plugins.binding import BoundStep
from imageport.plugins.observers import BACKLOG, MAX_FAILURES, Observers


class Stuck(Plugin[NoConfig]):
    """Hear one event and never come back, until the test is over."""

    def __init__(self, release: threading.Event) -> None:
        super().__init__(NoConfig())
        self.release = release
        self.entered = threading.Event()
        self.heard: list[Event] = []

    @hookimpl
    def on_progress(self, event: Event) -> None:
        self.heard.append(event)
        self.entered.set()
        self.release.wait(60)


class Raising(Plugin[NoConfig]):
    """Raise on everything that happens."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(NoConfig())
        self.error = error
        self.calls = 0

    @hookimpl
    def on_progress(self) -> None:
        self.calls += 1
        raise self.error


@pytest.fixture
def release() -> Iterator[threading.Event]:
    released = threading.Event()
    yield released
    released.set()


def _bound(label: str, plugin: Plugin[Any]) -> BoundStep:
    return BoundStep.bind(label, "acme 1.0", plugin)


def _progress(done: int, at: float) -> Event:
    return event("progress", at=at, lane="one", done=done, total=10**9)


def test_all_observers_have_received_all_events_in_order_when_they_are_closed(tmp_path: Path) -> None:
    listeners = [Listener(), Listener()]
    observers = Observers([_bound(f"listener {number}", one) for number, one in enumerate(listeners)])
    sent = [event("check", message=str(number)) for number in range(500)]
    for one in sent:
        observers.emit(one, host(tmp_path))
    observers.close()
    assert [listener.events for listener in listeners] == [sent, sent]


def test_events_of_many_threads_reach_all_observers_in_one_order(tmp_path: Path) -> None:
    listeners = [Listener(), Listener()]
    observers = Observers([_bound(f"listener {number}", one) for number, one in enumerate(listeners)])

    def send(name: int) -> None:
        for number in range(200):
            observers.emit(event("check", message=f"{name} {number}"), host(tmp_path))

    threads = [threading.Thread(target=send, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    observers.close()
    assert len(listeners[0].events) == 800
    assert listeners[0].events == listeners[1].events


def test_an_observer_that_never_returns_blocks_no_other_and_is_named(
    tmp_path: Path, release: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    over = threading.Event()

    class Attentive(Listener):
        """Set the flag when the last event has arrived."""

        @hookimpl
        def on_progress(self, event: Event) -> None:
            super().on_progress(event)
            if event.kind == "report":
                over.set()

    listener = Attentive()
    observers = Observers([_bound("listener", listener), _bound("stuck", Stuck(release))], patience=0.5)
    for kind in ("task.create", "task.success", "report"):
        observers.emit(event(kind), host(tmp_path))
    assert over.wait(30)
    observers.close()
    assert [one.kind for one in listener.events] == ["task.create", "task.success", "report"]
    (warning,) = caplog.messages
    assert warning.startswith("observer 'stuck' (acme 1.0) is too slow")


def test_what_an_observer_did_not_hear_in_time_it_never_hears(
    tmp_path: Path, release: threading.Event
) -> None:
    stuck = Stuck(release)
    step = _bound("stuck", stuck)
    observers = Observers([step], patience=0.05)
    for kind in ("task.create", "task.success"):
        observers.emit(event(kind), host(tmp_path))
    stuck.entered.wait(30)
    observers.close()
    thread = next(one for one in threading.enumerate() if one.name == "observer stuck")
    release.set()
    thread.join(30)
    assert [one.kind for one in stuck.heard] == ["task.create"]


def test_news_of_progress_is_dropped_for_an_observer_that_is_far_behind_and_nothing_else_is(
    tmp_path: Path, release: threading.Event
) -> None:
    stuck = Stuck(release)
    observers = Observers([_bound("stuck", stuck)])
    observers.emit(event("task.create"), host(tmp_path))
    stuck.entered.wait(30)
    for number in range(10 * BACKLOG):
        observers.emit(_progress(number, at=1000.0 + number), host(tmp_path))
    for number in range(2 * BACKLOG):
        observers.emit(event("check", message=str(number)), host(tmp_path))
    release.set()
    observers.close()
    kinds = [one.kind for one in stuck.heard]
    assert kinds.count("progress") == BACKLOG
    assert kinds.count("check") == 2 * BACKLOG


def test_progress_of_a_lane_is_reported_a_few_times_a_second(tmp_path: Path) -> None:
    listener = Listener()
    observers = Observers([_bound("listener", listener)])
    for number in range(100):
        observers.emit(_progress(number, at=1000.0 + number / 100), host(tmp_path))
    observers.emit(event("progress", at=1001.0, lane="one", done=7, total=7), host(tmp_path))
    observers.close()
    assert 5 <= len(listener.events) <= 7
    assert isinstance(last := listener.events[-1], ProgressEvent)
    assert last.done == 7


def test_a_lane_that_is_complete_is_reported_at_once_and_no_more_often_than_others(tmp_path: Path) -> None:
    listener = Listener()
    observers = Observers([_bound("listener", listener)])
    for done, at in ((10**9 - 1, 100.0), (10**9, 100.01), (10**9, 100.06), (10**9, 100.11), (10**9, 100.22)):
        observers.emit(_progress(done, at), host(tmp_path))
    observers.close()
    assert [heard.at for heard in listener.events] == [100.0, 100.01, 100.22]


@pytest.mark.parametrize(
    "error", [LookupError("oops"), SystemExit(3), KeyboardInterrupt()], ids=lambda error: type(error).__name__
)
def test_an_observer_that_raises_is_muted_after_three_strikes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    raising = Raising(error)
    observers = Observers([_bound("raising", raising)])
    for _ in range(10):
        observers.emit(event("task.create"), host(tmp_path))
    observers.close()
    assert raising.calls == MAX_FAILURES
    assert [message.endswith("it is not called again") for message in caplog.messages] == [False, False, True]


def test_an_observer_knows_its_own_name(tmp_path: Path) -> None:
    class Named(Plugin[NoConfig]):
        """Note the step of the context."""

        step = ""

        @hookimpl
        def on_progress(self, ctx: Context) -> None:
            self.step = ctx.step

    named = Named(NoConfig())
    observers = Observers([_bound("mine", named)])
    observers.emit(event("task.create"), host(tmp_path))
    observers.close()
    assert named.step == "mine"


def test_events_after_the_end_reach_no_observer(tmp_path: Path) -> None:
    listener = Listener()
    observers = Observers([_bound("listener", listener)])
    observers.emit(event("report"), host(tmp_path))
    observers.close()
    observers.emit(event("progress"), host(tmp_path))
    assert [one.kind for one in listener.events] == ["report"]


def test_an_import_goes_on_while_an_observer_sleeps(desk: Desk, release: threading.Event) -> None:
    stuck = Stuck(release)

    class Gate(Bytes):
        """Give data once the observer sleeps, and wake it at the end of them."""

        def _chunks(self) -> Iterator[bytes]:
            assert stuck.entered.wait(30)
            yield from super()._chunks()
            release.set()

    report = desk.run(Gate(bytes(512)), Shelf("one"), steps=[stuck])
    assert report.status == "success"
    assert stuck.heard[-1].kind == "report"


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Listen on a port where connections are accepted and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def _notified(cli: CommandLine, url: str) -> None:
    (cli.folder / "imageport.yaml").write_text("network: {allow_networks: [127.0.0.0/8]}\n")
    with (cli.folder / "p.yaml").open("a") as pipeline:
        pipeline.write("observers:\n")
        pipeline.write(f"- {{use: notifications, with: {{url: '{url}'}}}}\n")
        pipeline.write("- {use: jsonl, with: {path: events.jsonl}}\n")


def _heard(cli: CommandLine) -> str:
    return (cli.folder / "events.jsonl").read_text()


def test_a_webhook_that_never_answers_does_not_hurt_an_import(
    tmp_path: Path, silent_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    cli = CommandLine(tmp_path)
    _notified(cli, f"http://127.0.0.1:{silent_port}/hook")
    with caplog.at_level(logging.WARNING):
        result = cli.inside("run", "p.yaml", cli.image, "--json")
    assert result.lines[-1]["status"] == "success"
    assert '"task.success"' in _heard(cli)
    assert "observer 'notifications' (imageport 0.1.0) is too slow" in "".join(caplog.messages)


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_a_closed_port_mutes_the_webhook_and_not_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cli = CommandLine(tmp_path)
    _notified(cli, f"http://127.0.0.1:{_closed_port()}/hook")
    result = cli.inside("run", "p.yaml", cli.image, "--json")
    assert result.lines[-1]["status"] == "success"
    assert '"task.success"' in _heard(cli)
    assert "it is not called again" in "".join(caplog.messages)


def test_everything_is_printed_before_the_report(tmp_path: Path) -> None:
    lines = CommandLine(tmp_path).inside("run", "p.yaml", tmp_path / "disk.raw", "--json").lines
    assert [line.get("type") for line in lines[-3:]] == ["image.update", "task.success", "report"]


def test_a_failed_import_sends_events_to_its_observers_until_the_end(desk: Desk) -> None:
    report = desk.run(Bytes(b"some bytes"), Shelf("one", fails="write"))
    assert report.status == "failure"
    assert desk.listener.events[-1].kind == "report"
    assert desk.listener.kinds()[-1] == "task.failure"
