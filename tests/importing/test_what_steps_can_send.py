"""A step sends progress, checks and sources under its own name, and no other event, whatever it tries."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from functools import partial
from typing import Any, get_args

import pytest
from tests.importing.desk import Bytes, Desk, Shelf

from imageport import (
    Context,
    Event,
    Image,
    ImageData,
    ImageRecord,
    Location,
    NoConfig,
    PendingCopy,
    Plugin,
    Source,
    TransformFailed,
    hookimpl,
)
from imageport.errors import ExitCode
from imageport.events import CheckEvent, ImageEvent, ProgressEvent, ReportEvent, SourceEvent, TaskEvent

CONTENT = b"boot me".ljust(1 << 20, b"\0")

FORGED = ImageRecord(id="forged", status="active")

#: One forged event of each class.
FORGERIES: tuple[Event, ...] = (
    ImageEvent(kind="image.activate", record=FORGED),
    TaskEvent(kind="task.success"),
    ReportEvent(detail={"type": "report", "status": "success", "task_id": "forged"}),
    ProgressEvent(lane="shelf", store="shelf", done=1, total=1),
    CheckEvent(step="image_signature", message="signature", verdict="passed", signer="forged"),
    SourceEvent(step="bytes", message="https://forged.example/"),
)


def reachable(start: object) -> Iterator[object]:
    """Yield what can be reached from *start* by attributes, items, bound methods and partial functions.

    Attributes of classes and modules, closures and frames are left out: those are the whole process.
    """
    seen: dict[int, object] = {}
    waiting = [start]
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, type | types.ModuleType | str | bytes | int | float):
            continue
        seen[id(found)] = found
        yield found
        if isinstance(found, dict):
            waiting += [*found.keys(), *found.values()]
        elif isinstance(found, list | tuple | set | frozenset):
            waiting += found
        elif isinstance(found, types.MethodType):
            waiting += [found.__self__, found.__func__]
        elif isinstance(found, partial):
            waiting += [found.func, found.args, found.keywords]
        elif type(found).__module__.startswith(("imageport", "tests")):
            for name in dir(found):
                if not name.startswith("__"):
                    with suppress(Exception):
                        waiting.append(getattr(found, name))


def parts_of_the_import(found: Iterable[object]) -> list[str]:
    """Return the classes of the objects that run the import: those send every event."""
    modules = ("imageport.importing", "imageport.catalog", "imageport.plugins")
    return sorted(str(type(one)) for one in found if type(one).__module__.startswith(modules))


def _is_ours(call: object) -> bool:
    if not callable(call) or not str(getattr(call, "__module__", "")).startswith(("imageport", "tests")):
        return False
    # One method of the transport keeps what it is given as an open answer. That ends the import, but sends nothing.
    return getattr(call, "__name__", "") != "_noted"


def forge(ctx: Context) -> None:
    """Try to send every forged event in every way that *ctx* offers."""
    untyped: Any = ctx
    for event in FORGERIES:
        attempts: list[Callable[[], object]] = [
            lambda event=event: untyped.report(event.kind, record=FORGED),  # type: ignore[misc]
            lambda event=event: untyped.emit(event),  # type: ignore[misc]
            lambda event=event: untyped.send(event),  # type: ignore[misc]
            lambda event=event: untyped.for_step("").send(event),  # type: ignore[misc]
            lambda event=event: replace(untyped, emit=event),  # type: ignore[misc]
        ]
        for attempt in attempts:
            with suppress(AttributeError, TypeError):
                attempt()
    found = list(reachable(ctx))
    assert parts_of_the_import(found) == []
    for call in filter(_is_ours, found):
        function: Any = call
        for event in FORGERIES:
            arguments: list[tuple[object, ...]] = [(event,), (event, ctx)]
            # The transport would look for hosts of these names.
            if not function.__module__.startswith("imageport.http."):
                arguments += [("shelf", event), (event.kind,), (event.kind, FORGED)]
            for some in arguments:
                with suppress(Exception):
                    function(*some)
                with suppress(Exception):
                    function(*some, record=FORGED)


def disguise(ctx: Context) -> None:
    """Send what a step may send, with the fields of the context replaced by those of another step and task."""
    other = {"step": "image_signature", "task_id": "forged", "image_id": "forged"}
    replaced = replace(ctx, **other)  # type: ignore[arg-type]
    for name, value in other.items():
        object.__setattr__(ctx, name, value)
    for disguised in (ctx, replaced):
        disguised.check("signature", passed=True, signer="acme")
        disguised.source("https://acme.example/disk.raw")
        disguised.progress(1, 2)


class Forger(Plugin[NoConfig]):
    """Forge events in the hooks of a step."""

    def __init__(self, *deeds: Callable[[Context], None]) -> None:
        super().__init__(NoConfig())
        self.deeds = deeds
        self.busy = False

    def act(self, ctx: Context) -> None:
        # The guarded network, when it is asked for a url, has all steps judge that.
        if not self.busy:
            self.busy = True
            try:
                for deed in self.deeds:
                    deed(ctx)
            finally:
                self.busy = False

    @hookimpl
    def validate_source(self, source: Source, ctx: Context) -> None:
        self.act(ctx)

    @hookimpl
    def transform(self, image: Image, ctx: Context) -> Image | None:
        self.act(ctx)
        return None


class ForgingShelf(Shelf):
    """Forge events in the hooks of a store, while the image is written and when it is published."""

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        ctx.announce(Location(url=f"shelf:{self.name}/{image.record.id}"))
        forge(ctx)
        disguise(ctx)
        return super().store_write(image, replace(ctx, step=self.name))


class ForgingMethod(Bytes):
    """Forge events in the hook of a method."""

    @hookimpl
    def stage(self, ctx: Context) -> ImageData:  # type: ignore[override]
        forge(ctx)
        disguise(ctx)
        return ImageData.from_chunks(self._chunks)


def life(desk: Desk) -> list[tuple[str, object, object]]:
    """Return the events that only Imageport sends, but for moments and ids."""
    sent: list[tuple[str, object, object]] = []
    for event in desk.listener.events:
        if isinstance(event, ImageEvent):
            sent.append((event.kind, event.store, event.record.status))
        elif isinstance(event, TaskEvent):
            sent.append((event.kind, event.store, event.error))
        elif isinstance(event, ReportEvent):
            sent.append((event.kind, None, event.detail["status"]))
    return sent


def test_hostile_steps_methods_and_stores_send_nothing_else_and_under_no_other_name(
    make_desk: Callable[[], Desk],
) -> None:
    honest, beset = make_desk(), make_desk()
    assert honest.run(Bytes(CONTENT), Shelf("shelf"), steps=[Forger()]).status == "success"
    report = beset.run(ForgingMethod(CONTENT), ForgingShelf("shelf"), steps=[Forger(forge, disguise)])
    assert report.status == "success"
    assert life(beset) == life(honest)
    own = {"bytes", "forger", "shelf"}
    tasks = {report.task_id, ""}  # sources are judged before there is a task
    assert report.image is not None
    for event in beset.listener.events:
        assert event.task_id in tasks
        assert event.image_id == report.image.id
        if isinstance(event, CheckEvent | SourceEvent):
            assert event.step in own
        if isinstance(event, ProgressEvent):
            assert event.lane in own | {"staging", "digests"}
            assert isinstance(event.done, int)
    checks = [event for event in beset.listener.events if isinstance(event, CheckEvent)]
    assert {event.step for event in checks if event.signer == "acme"} == own
    assert all(event.signer != "forged" for event in checks)


def test_a_step_that_fails_after_its_forgeries_leaves_no_word_of_success(desk: Desk) -> None:
    def fail(ctx: Context) -> None:
        if ctx.task_id:
            raise TransformFailed("that is all")

    report = desk.run(Bytes(CONTENT), Shelf("shelf"), steps=[Forger(forge, fail)])
    assert report.exit_code == ExitCode.IMPORT_FAILED
    kinds = desk.listener.kinds()
    assert "image.activate" not in kinds
    assert "task.success" not in kinds
    assert kinds[-1] == "task.failure"


def test_what_is_sent_has_the_types_of_its_fields(desk: Desk) -> None:
    nonsense: Any = object()
    wrong: list[Callable[[Context], None]] = [
        lambda ctx: ctx.progress(nonsense),
        lambda ctx: ctx.progress(1, nonsense),
        lambda ctx: ctx.check(nonsense, passed=True),
        lambda ctx: ctx.check("a", passed=True, digest=nonsense),
        lambda ctx: ctx.check("a", passed=True, signer=nonsense),
        lambda ctx: ctx.source(nonsense),
        lambda ctx: ctx.source("a", error=nonsense),
    ]

    def send(ctx: Context) -> None:
        for call in wrong:
            with pytest.raises(TypeError):
                call(ctx)

    assert desk.run(Bytes(CONTENT), Shelf("shelf"), steps=[Forger(send)]).error is None
    assert not [event for event in desk.listener.events if isinstance(event, CheckEvent | SourceEvent)]


def test_the_context_of_a_plugin_has_no_public_way_to_send_events_of_other_kinds(desk: Desk) -> None:
    seen: list[Context] = []
    desk.run(Bytes(CONTENT), Shelf("shelf"), steps=[Forger(seen.append)])
    assert len(seen) == 2
    for ctx in seen:
        assert type(ctx) is Context
        assert is_dataclass(ctx)
        assert {"report", "emit", "send", "for_step", "announce_location"}.isdisjoint(dir(ctx))
        assert {field.name for field in fields(ctx)}.isdisjoint({"report", "emit", "announce_location"})


def test_the_search_for_ways_to_send_would_find_one(desk: Desk) -> None:
    """The walk through a context that refers to its import reaches the observers."""
    sent: list[Event] = []

    class Leak:
        def __init__(self) -> None:
            self.inner = partial(self.send)

        def send(self, event: Event) -> None:
            if isinstance(event, get_args(Event)):
                sent.append(event)

    def leak(ctx: Context) -> None:
        object.__setattr__(ctx, "origin", Leak())
        forge(ctx)

    desk.run(Bytes(CONTENT), Shelf("shelf"), steps=[Forger(leak)])
    assert sent
