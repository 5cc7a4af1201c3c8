"""Rolling back goes on whatever fails on the way, and never takes away what users have."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.importing.desk import Bytes, Desk, Shelf, desk_image
from tests.noise import noise

from imageport import (
    Caller,
    Chunks,
    Context,
    Event,
    Image,
    ImageData,
    Location,
    NoConfig,
    PendingCopy,
    Plugin,
    StoreFailed,
    hookimpl,
)
from imageport.dataplane.fanout import Consumer, fan_out
from imageport.errors import ExitCode
from imageport.importing.admission import ImportRequest
from imageport.importing.lease_keeper import Interruption
from imageport.values import StagedCopy

CONTENT = noise(3 << 20)
ME = Caller(user="tester")


class BreaksTheRecord(Plugin[NoConfig]):
    """Set a property that no database can store."""

    @hookimpl
    def transform(self, image: Image) -> Image:
        return image.with_properties(broken="\udcff")


@pytest.mark.parametrize("must", [True, False])
def test_a_record_that_cannot_be_saved_is_not_a_success(desk: Desk, must: bool) -> None:
    one, two = Shelf("one"), Shelf("two")
    report = desk.run(Bytes(CONTENT), one, two, steps=[BreaksTheRecord(NoConfig())], must=must)
    assert report.status == "failure"
    assert report.image is not None
    assert desk.catalog.get_image(report.image.id).status == "queued"
    assert not desk.catalog.is_locked(report.image.id)
    assert not (one.visible or one.pending or two.visible or two.pending)


class Unreachable(Shelf):
    """A store that cannot even be asked to delete."""

    @hookimpl
    def store_delete(self, location: Location) -> None:
        raise ConnectionError("no route to the store")


def test_a_store_that_cannot_be_cleaned_does_not_keep_the_others_from_it(desk: Desk) -> None:
    far, near, broken = Unreachable("far"), Shelf("near"), Shelf("broken", fails="publish")
    report = desk.run(Bytes(CONTENT), far, near, broken)
    assert report.exit_code == ExitCode.STORE_FAILED
    assert not near.visible
    assert report.image is not None
    assert report.orphans == [f"shelf:far/{report.image.id}"]
    assert report.rolled_back is False
    record = desk.catalog.get_image(report.image.id)
    assert record.status == "queued"
    assert not desk.catalog.is_locked(record.id)


def test_a_clean_rollback_reports_that(desk: Desk) -> None:
    report = desk.run(Bytes(CONTENT), Shelf("one", fails="middle"))
    assert report.rolled_back is True
    assert desk.run(Bytes(CONTENT), Shelf("one")).rolled_back is None


def test_deleted_while_it_settles_the_image_leaves_no_task_behind(desk: Desk) -> None:
    record = desk.catalog.create_image(desk_image("8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a04"))

    class Deleting(Shelf):
        @hookimpl
        def store_write(self, image: Image, ctx: Context) -> PendingCopy:
            copy = super().store_write(image, ctx)
            publish = copy.publish

            def and_delete() -> None:
                publish()
                desk.catalog.delete_image(record.id)

            return StagedCopy(copy.location, copy.bytes_written, and_delete, copy.discard)

    one, two, three = Shelf("one"), Deleting("two"), Shelf("three", fails="publish")
    report = desk.run(Bytes(CONTENT), one, two, three, request=ImportRequest(caller=ME, image=record.id))
    assert report.status == "failure"
    assert not (one.visible or two.visible or three.visible)
    assert [task.status for task in desk.catalog.list_tasks()] == ["failure"]


@pytest.mark.parametrize("parallel", [0, 1, 2])
def test_the_number_of_parallel_stores_changes_no_result(desk: Desk, parallel: int) -> None:
    limits = desk.site.limits.model_copy(update={"max_parallel_stores": parallel})
    desk.site = desk.site.model_copy(update={"limits": limits})
    good, bad = Shelf("good"), Shelf("bad", fails="middle")
    report = desk.run(Bytes(CONTENT, CONTENT), bad, good, must=False)
    assert report.error is None
    assert list(good.visible.values()) == [CONTENT * 2]
    assert report.stores["bad"].status == "failed"
    never = Shelf("never")
    report = desk.run(Bytes(CONTENT), Shelf("late", fails="publish"), Shelf("broken", fails="middle"), never)
    assert report.exit_code == ExitCode.STORE_FAILED
    assert not never.visible


def test_an_image_that_users_have_is_not_taken_away_by_a_signal(desk: Desk) -> None:
    activated, release = threading.Event(), threading.Event()

    class Signals(Plugin[NoConfig]):
        """Interrupt the import as soon as the image is active."""

        @hookimpl
        def on_progress(self, event: Event) -> None:
            if event.kind == "image.activate":
                os.kill(os.getpid(), signal.SIGTERM)
                activated.set()

    def wait() -> None:
        activated.wait(30)
        release.wait(1)

    fast, slow = Shelf("fast"), Shelf("slow", after=wait)
    report = desk.run(Bytes(CONTENT), fast, slow, steps=[Signals(NoConfig())], must=False)
    release.set()
    assert report.error is None
    assert report.image is not None
    assert report.image.status == "active"
    assert [location.store for location in report.image.locations] == ["fast"]
    assert report.image.properties["os_glance_failed_import"] == "slow"
    assert fast.visible


def test_a_signal_in_an_observer_ends_the_import(desk: Desk) -> None:
    class Interrupted(Plugin[NoConfig]):
        """Be interrupted while listening."""

        @hookimpl
        def on_progress(self, event: Event) -> None:
            if event.kind == "step.start":
                os.kill(os.getpid(), signal.SIGINT)

    def stalled() -> ImageData:
        def chunks():  # type: ignore[no-untyped-def]
            for _ in range(400):
                # A signal that comes just before a wait does not end it.
                threading.Event().wait(0.05)
            yield CONTENT

        return ImageData.from_chunks(chunks)

    class Stalls(Plugin[NoConfig]):
        """Deliver nothing for long."""

        @hookimpl
        def stage(self) -> ImageData:
            return stalled()

    report = desk.run(Stalls(NoConfig()), Shelf("one"), steps=[Interrupted(NoConfig())])
    assert report.exit_code == ExitCode.INTERRUPTED
    assert desk.leftovers() == []


@pytest.mark.parametrize("hook", ["store_delete", "validate_source"])
def test_a_signal_before_any_byte_ends_the_import(desk: Desk, hook: str) -> None:
    class Hangs(Shelf):
        """Be interrupted in the middle of a call that takes long."""

        def hang(self, now: str) -> None:
            if self.fails == now:
                os.kill(os.getpid(), signal.SIGINT)
                threading.Event().wait()

        @hookimpl
        def validate_source(self) -> None:
            self.hang("validate_source")

        @hookimpl
        def store_delete(self, location: Location) -> None:
            self.hang("store_delete")
            raise StoreFailed("cannot delete")

    store = Hangs("one", fails="middle")
    failed = desk.run(Bytes(CONTENT), store).image
    assert failed is not None
    store.fails = hook
    again = ImportRequest(caller=ME, image=failed.id, disk_format="raw")
    report = desk.run(Bytes(CONTENT), store, request=again)
    assert report.exit_code == ExitCode.INTERRUPTED
    assert not desk.catalog.is_locked(failed.id)


def test_a_plugin_cannot_swallow_a_signal(desk: Desk) -> None:
    class Stubborn(Plugin[NoConfig]):
        """Carry on whatever happens."""

        @hookimpl
        def stage(self) -> ImageData:
            def chunks():  # type: ignore[no-untyped-def]
                try:
                    os.kill(os.getpid(), signal.SIGTERM)
                    threading.Event().wait(20)
                except Exception:  # noqa: BLE001 - this is what is tested
                    yield CONTENT
                yield CONTENT

            return ImageData.from_chunks(chunks)

    report = desk.run(Stubborn(NoConfig()), Shelf("one"))
    assert report.exit_code == ExitCode.INTERRUPTED


def test_signals_that_are_ignored_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Interruption() as interruption, interruption.raising():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_user_may_edit_the_record_while_the_source_is_judged(desk: Desk) -> None:
    record = desk.catalog.create_image(desk_image("8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a05"))

    class Slow(Plugin[NoConfig]):
        """Take so long to judge that a user edits the record meanwhile."""

        @hookimpl
        def validate_source(self) -> None:
            desk.catalog.update_image(record.id, properties={"added": "now"}, min_disk=7)

    request = ImportRequest(caller=ME, image=record.id, properties={"colour": "red"})
    report = desk.run(Bytes(CONTENT), Shelf("one"), steps=[Slow(NoConfig())], request=request)
    assert report.image is not None
    assert report.image.min_disk == 7
    assert (report.image.properties["added"], report.image.properties["colour"]) == ("now", "red")


def test_a_thread_that_cannot_be_started_leaves_no_other_waiting() -> None:
    class Unstartable(Consumer[int]):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    def count(chunks: Chunks) -> int:
        return sum(map(len, chunks))

    waiting, late = Consumer("waiting", count), Unstartable("late", count)
    with pytest.raises(RuntimeError, match="new thread"):
        fan_out(iter([CONTENT]), [waiting, late], report=lambda done, waits: None)
    assert not waiting.running


def test_failures_because_the_image_was_deleted_are_reported_as_such(desk: Desk) -> None:
    record = desk.catalog.create_image(desk_image("8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a0a"))

    class DeletesAndFails(Plugin[NoConfig]):
        """Delete the image and stumble over that."""

        @hookimpl
        def transform(self, image: Image) -> None:
            desk.catalog.delete_image(image.record.id)
            raise FileNotFoundError("the staged data is gone")

    report = desk.run(
        Bytes(CONTENT), Shelf("one"), steps=[DeletesAndFails(NoConfig())],
        request=ImportRequest(caller=ME, image=record.id),
    )  # fmt: skip
    assert report.exit_code == ExitCode.CONFLICT
    assert "was deleted while it was imported" in (report.error.message if report.error else "")


class Direct(Bytes):
    """A method that takes what is staged."""

    starts_from = frozenset({"uploading"})


def test_data_that_is_staged_is_not_lost_to_another_source(desk: Desk) -> None:
    record = desk.catalog.create_image(desk_image("8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a06", status="uploading"))
    staged = desk.site.staging.directory / record.id
    staged.parent.mkdir(parents=True)
    staged.write_bytes(CONTENT)
    report = desk.run(
        Direct(CONTENT), Shelf("one"), request=ImportRequest(caller=ME, image=record.id), uri="other.raw"
    )
    assert report.error is not None
    assert "data is staged" in report.error.message
    assert staged.read_bytes() == CONTENT


def test_data_that_is_staged_on_another_machine_is_not_lost_either(desk: Desk) -> None:
    record = desk.catalog.create_image(
        desk_image(
            "8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a09",
            status="uploading",
            size=1,
            properties={"os_glance_stage_host": "elsewhere"},
        )
    )
    report = desk.run(
        Direct(CONTENT), Shelf("one"), request=ImportRequest(caller=ME, image=record.id), uri="other.raw"
    )
    assert report.exit_code == ExitCode.CONFLICT
    assert desk.catalog.get_image(record.id).status == "uploading"


def test_a_step_cannot_make_another_image_of_it(desk: Desk) -> None:
    class Renames(Plugin[NoConfig]):
        """Change the id."""

        @hookimpl
        def transform(self, image: Image) -> Image:
            return image.evolve(id="x")

    shelf = Shelf("one")
    report = desk.run(Bytes(CONTENT), shelf, steps=[Renames(NoConfig())])
    assert report.error is not None
    assert "an image with the same id" in report.error.message
    assert not (shelf.visible or shelf.pending)


def test_a_stream_that_is_not_bytes_is_blamed_on_its_step(desk: Desk) -> None:
    class Words(Plugin[NoConfig]):
        """Deliver text."""

        @hookimpl
        def transform(self, image: Image) -> Image:
            def chunks(source: Chunks) -> Iterator[Any]:
                return (str(piece) for piece in source)

            return image.evolve(data=image.data.through(chunks))

    report = desk.run(Bytes(CONTENT), Shelf("one"), steps=[Words(NoConfig())])
    assert report.error is not None
    assert (report.error.code, report.error.step) == ("step-crashed", "words")
    assert "str where bytes or a read-only memoryview of bytes is expected" in report.error.message


def test_an_image_that_is_deleted_late_is_reported_as_such(desk: Desk) -> None:
    record = desk.catalog.create_image(desk_image("8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a07"))

    class Deletes(Plugin[NoConfig]):
        """Delete the image when its store is asked to prepare."""

        @hookimpl
        def transform(self, image: Image) -> None:
            desk.catalog.delete_image(image.record.id)

    report = desk.run(
        Bytes(CONTENT),
        Shelf("one"),
        steps=[Deletes(NoConfig())],
        request=ImportRequest(caller=ME, image=record.id),
    )
    assert report.exit_code == ExitCode.CONFLICT
    assert "deleted" in (report.error.message if report.error else "")


def test_what_an_earlier_import_left_is_removed_by_the_next_one(desk: Desk) -> None:
    away = Unreachable("away")
    failed = desk.run(Bytes(CONTENT), away, Shelf("broken", fails="publish"))
    assert failed.image is not None
    assert len(desk.catalog.hidden_copies()) == 1
    back = Shelf("away")
    back.pending = dict.fromkeys(away.pending or away.visible, CONTENT)
    report = desk.run(
        Bytes(CONTENT), back, request=ImportRequest(caller=ME, image=failed.image.id, disk_format="auto")
    )
    assert report.error is None
    assert desk.catalog.hidden_copies() == []
    assert list(back.visible.values()) == [CONTENT]


def test_a_copy_that_is_unknown_is_reported_without_hiding_why_it_came_to_be(desk: Desk) -> None:
    record = desk.catalog.create_image(desk_image("8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a08"))

    class Deleting(Unreachable):
        @hookimpl
        def store_write(self, image: Image, ctx: Context) -> PendingCopy:
            copy = super().store_write(image, ctx)

            def and_delete() -> None:
                copy.publish()
                desk.catalog.delete_image(record.id)

            return StagedCopy(copy.location, copy.bytes_written, and_delete, copy.discard)

    report = desk.run(Bytes(CONTENT), Deleting("far"), request=ImportRequest(caller=ME, image=record.id))
    assert report.exit_code == ExitCode.CONFLICT
    assert report.rolled_back is False


class Cancelling(BaseException):
    """The kind of error that asyncio raises in a coroutine that is cancelled: it is not an ``Exception``."""


class Raising(Shelf):
    """Raise an error at one of the calls of a store."""

    def __init__(self, name: str, error: BaseException, call: str) -> None:
        super().__init__(name, fails="publish" if call == "delete" else "")
        self.error = error
        self.call = call

    def after_the_first_piece(self) -> None:
        if self.call == "write":
            raise self.error

    def before_it_publishes(self) -> None:
        if self.call == "publish":
            raise self.error

    @hookimpl
    def store_delete(self, location: Location) -> None:
        if self.call == "delete":
            raise self.error
        super().store_delete(location)


@pytest.mark.parametrize("must", [True, False])
@pytest.mark.parametrize(
    ("call", "error"),
    [
        (call, error)
        for call in ("write", "publish", "delete")
        for error in (Cancelling("mid"), GeneratorExit("mid"), SystemExit(3), KeyboardInterrupt("mid"))
        if (call, type(error)) != ("delete", KeyboardInterrupt)
    ],
    ids=repr,
)
def test_whatever_a_store_raises_it_has_failed_and_the_image_is_not_in_it(
    desk: Desk, call: str, error: BaseException, must: bool
) -> None:
    bad, good = Raising("bad", error, call), Shelf("good")
    report = desk.run(Bytes(CONTENT), bad, good, must=must)
    assert report.image is not None
    record = desk.catalog.get_image(report.image.id)
    assert not desk.catalog.is_locked(record.id)
    assert report.stores["bad"].status == "failed"
    assert not bad.visible
    if must:
        assert report.error is not None
        assert (record.status, report.error.store) == ("queued", "bad")
        assert not good.visible
    else:
        assert report.error is None
        assert [location.store for location in record.locations] == ["good"]
    if call != "delete":
        assert f"{type(error).__name__} in " in (report.stores["bad"].error or "")
        assert not desk.catalog.hidden_copies()


def test_an_import_is_rolled_back_before_the_program_around_it_is_interrupted(desk: Desk) -> None:
    class Ending(Bytes):
        def _chunks(self) -> Iterator[bytes]:
            yield CONTENT
            os.kill(os.getpid(), signal.SIGUSR1)
            yield CONTENT

    def interrupt(number: int, _frame: object) -> None:
        raise KeyboardInterrupt(number)

    one = Shelf("one")
    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            desk.run(Ending(), one)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not (one.visible or one.pending)
    [task] = desk.catalog.list_tasks()
    assert (task.status, task.message) == ("failure", "the import was interrupted")
    assert not desk.catalog.is_locked(task.image_id)
    assert desk.leftovers() == []


def test_an_interruption_that_is_over_sends_no_signal() -> None:
    sent: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: sent.append(number))
    try:
        with Interruption() as interruption:
            interruption.interrupt()
        assert interruption.event.is_set()
        interruption.interrupt()
    finally:
        signal.signal(signal.SIGINT, before)
    assert sent == []
