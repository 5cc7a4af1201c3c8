"""A plugin that never returns from a hook ends at its deadline, with the exit code and the key of the table."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.importing.desk import Bytes, Desk, Shelf
from tests.noise import noise

from imageport import (
    Chunks,
    Context,
    Event,
    Image,
    ImageData,
    Location,
    NoConfig,
    PendingCopy,
    Plugin,
    hookimpl,
)
from imageport.app.housekeeping import maintenance_context
from imageport.deadlines import DEADLINES
from imageport.errors import ExitCode, ImageportError
from imageport.importing.report import Report
from imageport.plugins.binding import BoundStep
from imageport.values import Finding, ImageRecord, Source, StagedCopy, StoredCopy

CONTENT = noise(1 << 16)
SOON = 2.0
PATIENCE = dict.fromkeys({deadline.key for deadline in DEADLINES.values()}, SOON)
#: The time of ``setup`` counts for the hook that follows, too; here it is over first.
PATIENCE["plugin_patience"] = SOON / 2


class Hanging:
    """Hangs in one place; the gate is opened at the end of the test."""

    hangs = ""
    gate = threading.Event()

    def hang(self, where: str) -> None:
        if where == self.hangs:
            self.gate.wait()

    def setup(self, ctx: Context) -> None:
        self.hang("setup")

    def close(self) -> None:
        self.hang("close")


class Method(Hanging, Bytes):
    """Stage some bytes."""

    @hookimpl
    def validate_source(self) -> None:
        self.hang("validate_source")

    @hookimpl
    def stage(self) -> ImageData:
        self.hang("stage")
        return ImageData.from_chunks(self._chunks)

    def _chunks(self) -> Iterator[bytes]:
        yield CONTENT
        self.hang("stage, its stream")


class Step(Hanging, Plugin[NoConfig]):
    """Leave the image alone."""

    @hookimpl
    def transform(self, image: Image) -> Image:
        self.hang("transform")
        return image.evolve(data=image.data.tapped(self._pass_on))

    def _pass_on(self, chunks: Chunks) -> Chunks:
        yield from chunks
        self.hang("transform, its stream")

    @hookimpl
    def on_progress(self, event: Event) -> None:
        self.hang("on_progress")

    @hookimpl
    def diagnose(self) -> list[Finding]:
        self.hang("diagnose")
        return []


class Store(Hanging, Shelf):
    """Keep copies in memory."""

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        copy = super().store_write(image, ctx)
        self.hang("store_write")

        def discard() -> None:
            self.hang("discard")
            copy.discard()

        return StagedCopy(copy.location, copy.bytes_written, copy.publish, discard)

    def before_it_publishes(self) -> None:
        self.hang("publish")

    @hookimpl
    def store_read(self, location: Location) -> ImageData:
        self.hang("store_read")
        return ImageData.from_chunks(self._stream)

    def _stream(self) -> Iterator[bytes]:
        yield CONTENT
        self.hang("store_read, its stream")

    @hookimpl
    def store_delete(self, location: Location) -> None:
        self.hang("store_delete")
        super().store_delete(location)

    @hookimpl
    def store_stat(self, location: Location) -> StoredCopy | None:
        self.hang("store_stat")
        return None

    @hookimpl
    def store_list(self) -> Iterator[StoredCopy]:
        self.hang("store_list")
        yield from ()


@pytest.fixture(autouse=True)
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    opened = threading.Event()
    monkeypatch.setattr(Hanging, "gate", opened)
    yield opened
    opened.set()


@pytest.fixture
def patient(desk: Desk) -> Desk:
    limits = desk.site.limits.model_copy(update=PATIENCE)
    desk.site = desk.site.model_copy(update={"limits": limits})
    return desk


def _hanging(kind: Any, where: str, *arguments: Any, **options: Any) -> Any:
    plugin = kind(*arguments, **options)
    plugin.hangs = where
    return plugin


def _run(desk: Desk, where: str, *, must: bool = True, fails: str = "") -> Report:
    return desk.run(
        _hanging(Method, where, CONTENT),
        Store("good", fails=fails), _hanging(Store, where, "stuck"), Shelf("other"),
        steps=[_hanging(Step, where, NoConfig())], must=must,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ("setup", ExitCode.IMPORT_FAILED),
        ("validate_source", ExitCode.IMPORT_FAILED),
        ("stage", ExitCode.SOURCE_UNAVAILABLE),
        ("stage, its stream", ExitCode.SOURCE_UNAVAILABLE),
        ("transform", ExitCode.IMPORT_FAILED),
        ("transform, its stream", ExitCode.IMPORT_FAILED),
        ("store_write", ExitCode.STORE_FAILED),
        ("publish", ExitCode.STORE_FAILED),
    ],
)
def test_an_import_ends_at_the_deadline_of_a_hook(patient: Desk, where: str, code: ExitCode) -> None:
    report = _run(patient, where)
    assert report.error is not None
    assert (report.exit_code, DEADLINES[where].error.exit_code) == (code, code)
    assert f"raise limits.{DEADLINES[where].key} in the site file" in report.error.hint
    assert report.error.where()
    if report.task_id is not None:
        assert report.image is not None
        assert report.image.status == "queued"
        assert not patient.leftovers()


@pytest.mark.parametrize("where", ["on_progress", "close"])
def test_an_import_succeeds_without_waiting_for_ever(
    patient: Desk, caplog: pytest.LogCaptureFixture, where: str
) -> None:
    report = _run(patient, where)
    assert report.exit_code == ExitCode.SUCCESS
    assert {store.status for store in report.stores.values()} == {"published"}
    if where == "on_progress":
        assert "is too slow" in caplog.text


@pytest.mark.parametrize("must", [True, False])
@pytest.mark.parametrize("where", ["store_write", "publish"])
def test_the_other_stores_go_on(patient: Desk, where: str, must: bool) -> None:
    report = _run(patient, where, must=must)
    assert report.image is not None
    assert report.orphans == [f"shelf:stuck/{report.image.id}"]
    statuses = {label: store.status for label, store in report.stores.items()}
    others = "discarded" if must else "published"
    assert statuses == {"stuck": "failed", "good": others, "other": others}
    assert [copy.location.store for copy in patient.catalog.hidden_copies()] == ["stuck"]


@pytest.mark.parametrize("where", ["discard", "store_delete"])
def test_a_copy_that_cannot_be_taken_back_is_reported_in_one_state(patient: Desk, where: str) -> None:
    report = _run(patient, where, fails="publish")
    assert report.exit_code == ExitCode.STORE_FAILED
    assert report.image is not None
    assert {label: store.status for label, store in report.stores.items()} == {
        "stuck": "abandoned", "good": "failed", "other": "discarded",
    }  # fmt: skip
    assert report.orphans == [f"shelf:stuck/{report.image.id}"]
    assert not report.rolled_back


LOCATION = Location(url="shelf:stuck/1", store="stuck")

CALLS: dict[str, Callable[[BoundStep, Any], object]] = {
    "store_read": lambda step, ctx: step.store_read(LOCATION, ctx),
    "store_read, its stream": lambda step, ctx: list(
        step.guard(step.store_read(LOCATION, ctx).chunks(), "store_read", ctx.limits)
    ),
    "store_delete": lambda step, ctx: step.store_delete(LOCATION, ctx),
    "store_stat": lambda step, ctx: step.store_stat(LOCATION, ctx),
    "store_list": lambda step, ctx: list(step.store_list(ctx)),
    "diagnose": lambda step, ctx: step.diagnose(ctx),
    "setup": lambda step, ctx: step.transform(
        Image(ImageRecord(id="1"), ImageData.from_chunks(lambda: iter([b""]))), ctx
    ),
    "validate_source": lambda step, ctx: step.validate_source(Source(method="m"), ImageRecord(id="1"), ctx),
}


@pytest.mark.parametrize("where", CALLS)
def test_a_call_outside_of_an_import_ends_at_its_deadline(patient: Desk, where: str) -> None:
    kind = Store if where.startswith("store") else Method if where == "validate_source" else Step
    plugin = _hanging(kind, where, "stuck" if kind is Store else NoConfig())
    step = BoundStep.bind("stuck", "acme 1.0", plugin, is_store=kind is Store)
    with maintenance_context(patient.site) as ctx, pytest.raises(ImageportError) as raised:
        CALLS[where](step, ctx)
    assert isinstance(raised.value, DEADLINES[where].error)
    assert f"limits.{DEADLINES[where].key}" in raised.value.hint
    assert "'stuck' (acme 1.0)" in raised.value.where()


def test_every_deadline_is_tried() -> None:
    tried = {"stage", "stage, its stream", "transform", "transform, its stream", "store_write", "publish"}
    assert set(DEADLINES) == tried | set(CALLS) | {"on_progress", "close", "discard"}
