"""Stores that are slow, stuck, or written one after the other."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.importing.desk import Bytes, Desk, Shelf

from imageport import Context, Image, Location, PendingCopy, hookimpl
from imageport.dataplane.buffers import CHUNK_SIZE
from imageport.errors import ExitCode
from imageport.events import ImageEvent, TaskEvent
from imageport.importing.report import Report
from imageport.values import StagedCopy

CONTENT = [bytes([number + 1]) * CHUNK_SIZE for number in range(30)]
WHOLE = b"".join(CONTENT)


def _both(first: Callable[[], None], second: Callable[[], None]) -> None:
    first()
    second()


def _a_moment() -> None:
    threading.Event().wait(0.2)


def _limits(desk: Desk, **limits: Any) -> None:
    desk.site = desk.site.model_copy(update={"limits": desk.site.limits.model_copy(update=limits)})


def test_an_image_is_active_while_a_slow_store_still_copies(desk: Desk) -> None:
    gate, seen = threading.Event(), []

    class Gate(Shelf):
        def after_the_first_piece(self) -> None:
            gate.wait(30)

    def watch() -> None:
        for _ in range(600):
            images = desk.catalog.list_images(status="active")
            if images:
                seen.append((images[0], dict(slow.visible), dict(quick.visible)))
                break
            threading.Event().wait(0.05)
        gate.set()

    quick, slow = Shelf("quick"), Gate("slow")
    watcher = threading.Thread(target=watch)
    watcher.start()
    report = desk.run(Bytes(*CONTENT), slow, quick, must=False)
    watcher.join()
    ((image, slow_then, quick_then),) = seen
    assert not slow_then
    assert list(quick_then.values()) == [WHOLE]
    assert [location.store for location in image.locations] == ["quick"]
    assert image.properties["os_glance_importing_to_stores"] == "slow"
    assert report.error is None
    assert list(slow.visible.values()) == [WHOLE]
    assert report.image is not None
    assert report.image.properties["os_glance_importing_to_stores"] == ""
    assert not desk.leftovers()


@pytest.mark.parametrize(("spool_first", "places"), [(True, 0), (False, 2)])
def test_a_slow_store_gets_the_whole_image_when_that_is_on_disk(
    desk: Desk, spool_first: bool, places: int
) -> None:
    published = threading.Event()

    class Slow(Shelf):
        def after_the_first_piece(self) -> None:
            published.wait(30)

    class Quick(Shelf):
        @hookimpl
        def store_write(self, image: Image, ctx: Context) -> PendingCopy:
            copy = Shelf.store_write(self, image, ctx)
            return StagedCopy(
                copy.location, copy.bytes_written, lambda: _both(copy.publish, published.set), copy.discard
            )

    _limits(desk, max_parallel_stores=places)
    shelves = [Slow("slow"), Quick("quick"), Shelf("third")]
    report = desk.run(Bytes(*CONTENT), *shelves, must=False, spool_first=spool_first)
    assert report.error is None
    assert [list(shelf.visible.values()) == [WHOLE] for shelf in shelves] == [True] * 3


@pytest.mark.parametrize("must", [True, False])
def test_a_stuck_store_does_not_hold_the_import_for_ever(desk: Desk, must: bool) -> None:
    gate = threading.Event()

    class Stuck(Shelf):
        def after_the_first_piece(self) -> None:
            gate.wait(30)

        @hookimpl
        def store_delete(self, location: Location) -> None:
            gate.wait(30)
            Shelf.store_delete(self, location)

    _limits(desk, store_patience=1.5)
    stuck, good = Stuck("stuck"), Shelf("good")
    report = desk.run(Bytes(*CONTENT), stuck, good, must=must)
    gate.set()
    assert report.stores["stuck"].status == "failed"
    assert "store 'stuck' has done nothing for" in (report.stores["stuck"].error or "")
    assert report.image is not None
    assert report.image.properties["os_glance_failed_import"] == "stuck"
    assert report.image.status == ("queued" if must else "active")
    assert bool(good.visible) is not must
    assert not desk.leftovers()
    # What a store that still works may leave is known, for gc.
    assert report.orphans == [f"shelf:stuck/{report.image.id}"]
    assert [hidden.location.store for hidden in desk.catalog.hidden_copies()] == ["stuck"]


@pytest.mark.parametrize("must", [True, False])
def test_a_store_is_not_blamed_for_a_source_that_sends_nothing(desk: Desk, must: bool) -> None:
    class LateEnd(Bytes):
        def _chunks(self) -> Iterator[bytes]:
            yield from self.pieces
            threading.Event().wait(0.8)

    _limits(desk, store_patience=0.5)
    shelves = [Shelf(name, after=_a_moment) for name in "ab"]
    report = desk.run(LateEnd(*CONTENT[:2]), *shelves, must=must)
    assert report.error is None
    assert all(shelf.visible for shelf in shelves)


def test_a_stuck_store_leaves_its_place_to_the_next(desk: Desk) -> None:
    gate = threading.Event()

    class Stuck(Shelf):
        def after_the_first_piece(self) -> None:
            gate.wait()

    _limits(desk, store_patience=3.0, max_parallel_stores=1)
    shelves = [Stuck("stuck"), Shelf("b"), Shelf("c")]
    report = desk.run(Bytes(*CONTENT[:12]), *shelves, must=False)
    gate.set()
    assert report.error is None
    assert {name: store.status for name, store in report.stores.items()} == {
        "stuck": "failed", "b": "published", "c": "published",
    }  # fmt: skip


def test_once_a_needed_store_has_failed_no_other_is_begun(desk: Desk) -> None:
    class Waiting(Shelf):
        def after_the_first_piece(self) -> None:
            begun.append(self.name)

    begun: list[str] = []
    _limits(desk, max_parallel_stores=1)
    report = desk.run(Bytes(*CONTENT[:3]), Waiting("a", fails="lies"), Waiting("b"), Waiting("c"))
    assert report.status == "failure"
    assert begun == ["a"]


def _summary(desk: Desk, report: Report) -> dict[str, Any]:
    assert report.image is not None
    sent = [
        (event.kind, event.store, isinstance(event, ImageEvent) and event.record.status)
        for event in desk.listener.events
        if isinstance(event, ImageEvent | TaskEvent)
    ]
    return {
        "status": report.status,
        "image": (report.image.status, report.image.size, report.image.checksum),
        "lists": {
            name: value for name, value in report.image.properties.items() if name.startswith("os_glance")
        },
        "stores": {label: store.status for label, store in report.stores.items()},
        "events": sent,
    }


@pytest.mark.parametrize(
    ("must", "broken"),
    [*((must, broken) for must in (True, False) for broken in ("", "a", "b", "c")), (False, "abc")],
)
@pytest.mark.parametrize("where", ["middle", "publish"])
def test_results_lists_and_events_are_the_same_however_many_stores_are_written_at_once(
    make_desk: Callable[[], Desk], must: bool, broken: str, where: str
) -> None:
    summaries = []
    for places in (0, 1, 2):
        desk = make_desk()
        _limits(desk, max_parallel_stores=places)
        shelves = [Shelf(name, fails=where if name in broken else "") for name in "abc"]
        summaries.append(_summary(desk, desk.run(Bytes(*CONTENT[:3]), *shelves, must=must)))
    assert summaries[0] == summaries[1] == summaries[2]


def test_with_one_place_each_store_is_published_before_the_next_is_written(desk: Desk) -> None:
    order: list[str] = []

    class Noting(Shelf):
        def after_the_first_piece(self) -> None:
            order.append(
                f"{self.name} begins after {sorted(shelf.name for shelf in shelves if shelf.visible)}"
            )

    _limits(desk, max_parallel_stores=1)
    shelves = [Noting(name) for name in "abc"]
    assert desk.run(Bytes(*CONTENT[:3]), *shelves, must=False).error is None
    assert order == ["a begins after []", "b begins after ['a']", "c begins after ['a', 'b']"]


@pytest.mark.parametrize("must", [True, False])
def test_a_store_that_is_stuck_while_it_publishes_is_given_up(desk: Desk, must: bool) -> None:
    gate = threading.Event()

    class Stuck(Shelf):
        def before_it_publishes(self) -> None:
            gate.wait(30)

    _limits(desk, store_patience=0.3)
    stuck, good = Stuck("stuck"), Shelf("good")
    report = desk.run(Bytes(*CONTENT[:3]), stuck, good, must=must)
    gate.set()
    assert "store 'stuck' has done nothing for" in (report.stores["stuck"].error or "")
    assert report.image is not None
    assert report.image.status == ("queued" if must else "active")
    assert report.orphans == [f"shelf:stuck/{report.image.id}"]
    assert [hidden.location.store for hidden in desk.catalog.hidden_copies()] == ["stuck"]


def test_a_cancelled_import_does_not_wait_for_a_store_that_publishes(desk: Desk) -> None:
    gate = threading.Event()

    class Stuck(Shelf):
        def before_it_publishes(self) -> None:
            os.kill(os.getpid(), signal.SIGTERM)
            gate.wait(30)

    stuck, good = Stuck("stuck"), Shelf("good")
    report = desk.run(Bytes(*CONTENT[:3]), good, stuck)
    gate.set()
    assert report.exit_code == ExitCode.INTERRUPTED
    assert report.image is not None
    assert report.image.status == "queued"
    assert not good.visible
    assert report.orphans == [f"shelf:stuck/{report.image.id}"]
