"""A plugin is set up before its first hook and closed after its last one, once each, whatever happens between."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from imageport import (
    Context,
    Image,
    ImageData,
    NoConfig,
    Plugin,
    Source,
    hookimpl,
)
from imageport.plugins.binding import BoundStep
from imageport.plugins.lifetime import close_all
from imageport.plugins.registry import PluginRegistry
from imageport.testing import Finished, MemoryStore, RunImageport, run_pipeline
from imageport.testing.benches import RECORD
from imageport.testing.contexts import make_host
from imageport.testing.pipelines import _with
from imageport.values import Finding
from imageport.watched_calls import side_by_side


class Recorder(Plugin[NoConfig]):
    """Note the calls."""

    fails: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, config: NoConfig) -> None:
        super().__init__(config)
        self.calls: list[str] = []

    def _note(self, call: str) -> None:
        self.calls.append(call)
        if call in self.fails:
            raise SystemExit(call)

    def setup(self, ctx: Context) -> None:
        self._note(f"setup {ctx.step}")

    def close(self) -> None:
        self._note("close")

    @hookimpl
    def validate_source(self) -> None:
        self._note("validate_source")

    @hookimpl
    def transform(self) -> None:
        self._note("transform")

    @hookimpl
    def on_progress(self) -> None:
        self._note("on_progress")

    @hookimpl
    def diagnose(self) -> Iterator[Finding]:
        self._note("diagnose")
        yield Finding("ok", "well")


class Failing(Recorder):
    """Cannot be set up."""

    fails = frozenset({"setup step"})


class Stubborn(Recorder):
    """Cannot be closed."""

    fails = frozenset({"close"})


def bound(kind: type[Recorder]) -> tuple[BoundStep, Recorder]:
    plugin = kind(NoConfig())
    return BoundStep.bind("step", "acme 1.0", plugin), plugin


def image(tmp_path: Path) -> Image:
    return Image(RECORD, ImageData.from_chunks(lambda: iter([b"x"])))


def test_it_is_set_up_before_the_first_hook_and_closed_once(tmp_path: Path) -> None:
    step, plugin = bound(Recorder)
    ctx = make_host(tmp_path)
    step.validate_source(Source(method="m"), image(tmp_path).record, ctx)
    step.transform(image(tmp_path), ctx)
    assert step.diagnose(ctx) == [Finding("ok", "well")]
    step.close()
    step.close()
    assert plugin.calls == ["validate_source", "setup step", "transform", "diagnose", "close"]


def test_a_plugin_of_which_no_hook_was_called_is_left_alone(tmp_path: Path) -> None:
    step, plugin = bound(Recorder)
    step.validate_source(Source(method="m"), image(tmp_path).record, make_host(tmp_path))
    step.close()
    assert plugin.calls == ["validate_source"]


def test_a_failed_setup_is_the_error_of_every_hook_and_is_not_repeated_nor_closed(tmp_path: Path) -> None:
    step, plugin = bound(Failing)
    for _ in range(2):
        with pytest.raises(Exception, match="SystemExit in setup: setup step"):
            step.transform(image(tmp_path), make_host(tmp_path))
    step.close()
    assert plugin.calls == ["setup step"]


def test_hooks_in_several_threads_share_one_setup(tmp_path: Path) -> None:
    step, plugin = bound(Recorder)
    threads = [
        threading.Thread(target=step.transform, args=(image(tmp_path), make_host(tmp_path))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert plugin.calls == ["setup step", *["transform"] * 8]


def test_no_hook_is_called_once_its_caller_has_left_a_stuck_setup_behind(tmp_path: Path) -> None:
    stuck, gate, ended = threading.Event(), threading.Event(), threading.Event()

    class Stuck(Recorder):
        """Wait in ``setup``."""

        def setup(self, ctx: Context) -> None:
            stuck.set()
            gate.wait()

    step, plugin = bound(Stuck)
    ctx = make_host(tmp_path)

    def transform(image: Image) -> None:
        try:
            step.transform(image, ctx)
        finally:
            ended.set()

    def seconds_left() -> float:
        return 0.0 if stuck.is_set() else 1.0

    work = {"step": [image(tmp_path)]}
    done = [*side_by_side(work, transform, late_error=TimeoutError, seconds_left=seconds_left)]
    assert [type(one.error) for one in done] == [TimeoutError]
    gate.set()
    assert ended.wait(60)
    assert plugin.calls == []


def test_all_are_closed_whatever_one_raises(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Interrupted(Recorder):
        """Raise what a signal raises."""

        def close(self) -> None:
            super().close()
            raise KeyboardInterrupt

    steps = [bound(Interrupted), bound(Stubborn), bound(Recorder)]
    for step, _ in steps:
        step.transform(image(tmp_path), make_host(tmp_path))
    close_all(step for step, _ in steps)
    assert [plugin.calls[-1] for _, plugin in steps] == ["close"] * 3
    assert caplog.text.count("'step' could not be closed") == 2


def test_a_plugin_that_was_left_behind_at_work_is_not_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    at_work, go_on = threading.Event(), threading.Event()

    class Stuck(Recorder):
        """Wait."""

        @hookimpl
        def transform(self) -> None:
            at_work.set()
            go_on.wait()

    step, plugin = bound(Stuck)
    thread = threading.Thread(target=step.transform, args=(image(tmp_path), make_host(tmp_path)))
    thread.start()
    at_work.wait()
    step.close()
    go_on.set()
    thread.join()
    assert plugin.calls == ["setup step"]
    assert "still at work" in caplog.text


class OpenedStore(MemoryStore):
    """Note in a list of all instances when it is set up and closed."""

    calls: ClassVar[list[str]] = []

    def setup(self, ctx: Context) -> None:
        self.calls.append("setup")

    def close(self) -> None:
        self.calls.append("close")


class Interrupting(Recorder):
    """Interrupt the import."""

    @hookimpl
    def transform(self, ctx: Context) -> None:  # type: ignore[override]
        os.kill(os.getpid(), signal.SIGINT)
        ctx.cancelled.wait()
        ctx.check_cancelled()


PLUGINS: dict[str, type[Plugin[Any]]] = {
    "opened": OpenedStore,
    "recorder": Recorder,
    "interrupting": Interrupting,
}


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_imageport: RunImageport
) -> Iterator[RunImageport]:
    monkeypatch.setattr(PluginRegistry, "installed", _with(PLUGINS))
    (run_imageport.folder / "disk.raw").write_bytes(b"boot me" + bytes(100_000))
    OpenedStore.calls.clear()
    yield run_imageport
    MemoryStore.clear()


def imported(command: RunImageport, *steps: str, **options: Any) -> Finished:
    OpenedStore.calls.clear()
    pipeline = {"steps": [{"use": step} for step in steps], "stores": [{"use": "opened", "with": options}]}
    return run_pipeline(command.folder, pipeline, "disk.raw", plugins=PLUGINS)


def test_an_import_sets_its_plugins_up_and_closes_them(command: RunImageport) -> None:
    assert imported(command).exit_code == 0
    assert OpenedStore.calls == ["setup", "close"]


@pytest.mark.parametrize("stage", ["open", "write", "finish", "publish", "discard"])
def test_a_failed_import_closes_its_plugins(command: RunImageport, stage: str) -> None:
    # A second copy in one place makes the first one be discarded.
    assert imported(command, fails_at=[stage, "publish"]).exit_code == 6
    assert OpenedStore.calls == ["setup", "close"]


def test_an_interrupted_import_closes_its_plugins(command: RunImageport) -> None:
    assert imported(command, "interrupting").exit_code == 130
    assert OpenedStore.calls == []


def test_export_delete_and_gc_set_a_store_up_and_close_it(command: RunImageport, tmp_path: Path) -> None:
    imported(command)
    for arguments in (
        ("images", "export", "disk.raw", tmp_path / "back.raw"),
        ("images", "delete", "disk.raw", "--yes"),
    ):
        OpenedStore.calls.clear()
        done = command.inside(*arguments)
        assert done.exit_code == 0, done.stderr
        assert OpenedStore.calls == ["setup", "close"]


def test_gc_shares_one_store_for_all_of_its_copies(command: RunImageport) -> None:
    for _ in range(3):
        assert imported(command, fails_at=["publish", "delete"]).exit_code == 6
        assert OpenedStore.calls == ["setup", "close"]
    OpenedStore.calls.clear()
    done = command.inside("gc")
    assert done.stdout.count("fails at delete") + done.stderr.count("fails at delete") == 3
    # Once to remove copies, and once to compare the store with the catalog.
    assert OpenedStore.calls == ["setup", "close"] * 2
