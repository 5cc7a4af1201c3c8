"""The promises that every observer keeps, as tests to inherit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from imageport.events import (
    CheckEvent,
    Event,
    ImageEvent,
    ProgressEvent,
    ReportEvent,
    SourceEvent,
    StepEvent,
    TaskEvent,
)
from imageport.testing.benches import IMAGE_ID, RECORD, Bench, bench
from imageport.testing.clauses import require
from imageport.testing.pipelines import run_pipeline
from imageport.testing.plugin_suite import PluginConformance

_WHEN = 1_700_000_000.0


def _kinds(kind: type[Any]) -> tuple[Any, ...]:
    """Return the values that the field ``kind`` of an event may have."""
    return get_args(get_type_hints(kind)["kind"])


def sample_events() -> Iterator[Event]:
    """Yield an event of every kind, with and without its optional fields."""
    ids: dict[str, Any] = {"at": _WHEN, "task_id": "task-1", "image_id": IMAGE_ID}
    for kind in _kinds(TaskEvent):
        yield TaskEvent(kind=kind, **ids)
        yield TaskEvent(kind=kind, step="checksum", store="fast", error="it is wrong", **ids)
    for kind in _kinds(ImageEvent):
        yield ImageEvent(kind=kind, record=RECORD, **ids)
        yield ImageEvent(kind=kind, record=RECORD, store="fast", error="it is full", at=_WHEN)
    for kind in _kinds(StepEvent):
        yield StepEvent(kind=kind, step="checksum", message="transform", **ids)
    yield ProgressEvent(lane="source", done=0, **ids)
    yield ProgressEvent(lane="fast", store="fast", done=10, total=10, waits="fast", **ids)
    yield CheckEvent(
        step="checksum", message="sha256", verdict="passed", digest="sha256:00", signer="Ada", **ids
    )
    yield CheckEvent(step="checksum", message="sha256", verdict="failed", **ids)
    yield SourceEvent(step="fetch", message="https://example.org/disk", **ids)
    yield SourceEvent(step=None, message="https://example.org/disk", error="it is gone", **ids)
    yield ReportEvent(kind="report", detail={"type": "report", "status": "success", "stores": {}}, **ids)


class ObserverConformance(PluginConformance):
    """Tests of an observer.

    Inherit from it, and name the plugin and its options::

        class TestBell(ObserverConformance):
            plugin = "bell"
    """

    role = "observer"

    @pytest.fixture
    def observer(self, tmp_path: Path) -> Iterator[Bench]:
        """Return the observer, as an import calls it."""
        with bench(self.plugin, self.options, tmp_path, patience=self.patience) as made:
            yield made

    @pytest.mark.parametrize("kind", dict.fromkeys(event.kind for event in sample_events()))
    def test_every_kind_of_event_is_accepted(self, observer: Bench, kind: str) -> None:
        """Look at event.kind first: it decides which fields there are, and some are None."""
        for event in sample_events():
            if event.kind == kind:
                observer.observe(event)

    def test_a_kind_of_a_later_version_is_passed_over(self, observer: Bench) -> None:
        """Do nothing for a kind that the observer does not know."""
        observer.observe(TaskEvent(kind="task.of-a-later-version"))  # type: ignore[arg-type]

    def test_events_come_in_any_number_and_order(self, observer: Bench) -> None:
        """Keep no assumption about the order of events, and no copy of all of them."""
        for event in [*sample_events(), *reversed([*sample_events()])]:
            observer.observe(event)

    def test_two_imports_are_kept_apart(self, observer: Bench) -> None:
        """Look at event.task_id and event.image_id where it matters which import an event is about."""
        for event in sample_events():
            observer.observe(event)
            observer.observe(replace(event, task_id="task-2", image_id="image-2"))

    def test_texts_of_any_kind_are_accepted(self, observer: Bench) -> None:
        """Expect line ends, control characters and lone surrogates in texts of events."""
        for text in ("two\nlines", "\x1b[2J", "\udcff", "x" * 100_000, "'\"\\{}%s"):
            observer.observe(TaskEvent(kind="task.failure", error=text))
            observer.observe(SourceEvent(step="source", message=text, error=text))

    def test_nothing_is_sent_by_an_observer(self, observer: Bench) -> None:
        """Send no events: an observer only listens."""
        for event in sample_events():
            observer.observe(event)
        require(not observer.events, "the observer has sent events")

    def test_an_import_goes_on_beside_the_observer(self, tmp_path: Path) -> None:
        """Let an import come to its end with the observer in its pipeline."""
        (tmp_path / "disk.raw").write_bytes(bytes(100_000))
        name = self.plugin if isinstance(self.plugin, str) else "under_test"
        plugins: dict[str, Any] = {} if isinstance(self.plugin, str) else {name: self.plugin}
        pipeline = {"observers": [{"use": name, "with": dict(self.options)}]}
        done = run_pipeline(tmp_path, pipeline, "disk.raw", plugins=plugins)
        require(done.exit_code == 0, f"the import failed: {done.stderr.strip()[:200]}")
        require(f"observer '{name}'" not in done.stderr, done.stderr.strip()[:300])

    def test_standard_output_stays_free(self, observer: Bench, capfd: pytest.CaptureFixture[str]) -> None:
        """Print on standard error: standard output belongs to the report of an import."""
        for event in sample_events():
            observer.observe(event)
        printed = capfd.readouterr().out
        require(not printed, f"the observer printed {printed[:80]!r}")
