"""Published everywhere or nowhere; whatever fails, nothing stays and nothing is stuck."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable

import pytest
from tests.importing.desk import Bytes, Desk, Shelf, desk_image
from tests.noise import noise

from imageport import (
    Caller,
    Context,
    Event,
    Image,
    ImageData,
    LimitExceeded,
    NoConfig,
    Plugin,
    SourceUnavailable,
    TransformFailed,
    VerificationFailed,
    hookimpl,
)
from imageport.errors import ExitCode
from imageport.importing.admission import ImportRequest
from imageport.importing.report import Report

CONTENT = noise(3 << 20)
ME = Caller(user="tester")


def _assert_rolled_back(desk: Desk, report: Report, *shelves: Shelf) -> None:
    assert report.status == "failure"
    assert report.image is not None
    record = desk.catalog.get_image(report.image.id)
    assert record.status == "queued"
    assert (record.size, record.checksum, record.os_hash_value) == (None, None, None)
    assert not record.locations
    assert not desk.catalog.is_locked(record.id)
    assert record.properties["os_glance_importing_to_stores"] == ""
    assert "os_glance_import_task" not in record.properties
    for shelf in shelves:
        assert not shelf.visible
        assert not shelf.pending
    assert desk.leftovers() == []
    assert report.task_id is not None
    task = desk.catalog.get_task(report.task_id)
    assert task.status == "failure"
    assert report.error is not None
    assert report.error.message in task.message


def _failed_stores(report: Report) -> str:
    assert report.image is not None
    return report.image.properties["os_glance_failed_import"]


def test_every_store_gets_the_bytes_and_the_record_describes_them(desk: Desk) -> None:
    source, one, two = Bytes(CONTENT), Shelf("one"), Shelf("two")
    report = desk.run(source, one, two)
    assert report.error is None
    assert source.read == len(CONTENT)
    assert list(one.visible.values()) == list(two.visible.values()) == [CONTENT]
    record = desk.catalog.get_image(report.image.id if report.image else "")
    assert record.status == "active"
    assert record.disk_format == "raw"
    assert record.container_format == "bare"
    assert record.size == record.virtual_size == len(CONTENT)
    assert record.checksum == hashlib.md5(CONTENT).hexdigest()
    assert record.os_hash_value == hashlib.sha512(CONTENT).hexdigest()
    assert {location.store for location in record.locations} == {"one", "two"}
    assert record.properties["os_glance_importing_to_stores"] == ""
    assert record.properties["os_glance_failed_import"] == ""
    assert not desk.catalog.is_locked(record.id)
    assert desk.leftovers() == []
    assert {store.status for store in report.stores.values()} == {"published"}


@pytest.mark.parametrize("fault", ["write", "middle", "crash", "publish", "short", "lies"])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_when_all_must_succeed_one_failing_store_takes_every_copy_back(
    desk: Desk, fault: str, position: int
) -> None:
    shelves = [Shelf(f"s{number}", fails=fault if number == position else "") for number in range(3)]
    report = desk.run(Bytes(CONTENT, CONTENT), *shelves)
    _assert_rolled_back(desk, report, *shelves)
    assert report.exit_code == (ExitCode.IMPORT_FAILED if fault == "crash" else ExitCode.STORE_FAILED)
    assert report.error is not None
    assert report.error.store == f"s{position}"
    assert report.error.hint
    assert _failed_stores(report) == f"s{position}"
    assert report.stores[f"s{position}"].status == "failed"
    assert {report.stores[f"s{n}"].status for n in range(3) if n != position} == {"discarded"}


@pytest.mark.parametrize("fault", ["write", "middle", "crash", "publish", "short", "lies"])
def test_when_one_suffices_the_image_lives_in_the_good_stores(desk: Desk, fault: str) -> None:
    good, bad, other = Shelf("good"), Shelf("bad", fails=fault), Shelf("other")
    report = desk.run(Bytes(CONTENT, CONTENT), good, bad, other, must=False)
    assert report.error is None
    record = report.image
    assert record is not None
    assert record.status == "active"
    assert {location.store for location in record.locations} == {"good", "other"}
    assert _failed_stores(report) == "bad"
    assert record.properties["os_glance_importing_to_stores"] == ""
    assert not bad.visible
    assert not bad.pending
    assert report.stores["bad"].status == "failed"
    assert report.stores["bad"].error
    assert desk.leftovers() == []


def test_when_every_store_fails_the_import_fails(desk: Desk) -> None:
    shelves = [Shelf("a", fails="write"), Shelf("b", fails="middle")]
    report = desk.run(Bytes(CONTENT, CONTENT), *shelves, must=False)
    _assert_rolled_back(desk, report, *shelves)
    assert report.exit_code == ExitCode.STORE_FAILED
    assert _failed_stores(report) == "a,b"


def test_an_image_is_active_while_a_slow_store_still_works(desk: Desk) -> None:
    activated = threading.Event()

    class Watch(Plugin[NoConfig]):
        """Notice the activation."""

        @hookimpl
        def on_progress(self, event: Event) -> None:
            if event.kind == "image.activate":
                activated.set()

    slow = Shelf("slow", after=lambda: _true(activated.wait(30)))
    report = desk.run(Bytes(CONTENT), Shelf("fast"), slow, steps=[Watch(NoConfig())], must=False)
    assert report.error is None
    assert slow.visible


def _true(value: bool) -> None:
    assert value


def _ignore(value: object) -> None:
    """Drop *value*."""


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SourceUnavailable("the cable was cut", hint="mend it"), ExitCode.SOURCE_UNAVAILABLE),
        (OSError("Input/output error"), ExitCode.IMPORT_FAILED),
        (VerificationFailed("sha256 differs", hint="look"), ExitCode.VERIFICATION_FAILED),
    ],
)
@pytest.mark.parametrize("spool_first", [False, True])
def test_a_source_that_breaks_leaves_nothing(
    desk: Desk, error: Exception, code: ExitCode, spool_first: bool
) -> None:
    shelves = [Shelf("a"), Shelf("b")]
    report = desk.run(Bytes(CONTENT, CONTENT, error=error), *shelves, spool_first=spool_first)
    _assert_rolled_back(desk, report, *shelves)
    assert report.exit_code == code
    assert report.error is not None
    assert report.error.step == "bytes"
    assert report.error.store is None
    assert _failed_stores(report) == "a,b"


def test_an_empty_image_is_refused(desk: Desk) -> None:
    shelf = Shelf("a")
    report = desk.run(Bytes(), shelf)
    _assert_rolled_back(desk, report, shelf)
    assert report.exit_code == ExitCode.VERIFICATION_FAILED


def test_an_image_above_the_cap_is_stopped_early(desk: Desk) -> None:
    desk.site = desk.site.model_copy(
        update={"limits": desk.site.limits.model_copy(update={"image_size_cap": 4 << 20})}
    )
    source, shelf = Bytes(*[CONTENT] * 100), Shelf("a")
    report = desk.run(source, shelf)
    _assert_rolled_back(desk, report, shelf)
    assert isinstance(report.error, LimitExceeded)
    assert source.read <= 9 << 20


def test_a_format_that_was_promised_must_be_found(desk: Desk) -> None:
    shelf = Shelf("a")
    report = desk.run(Bytes(CONTENT), shelf, request=ImportRequest(caller=ME, disk_format="qcow2"))
    _assert_rolled_back(desk, report, shelf)
    assert report.exit_code == ExitCode.VERIFICATION_FAILED
    assert "qcow2" in report.error.message if report.error else False
    assert report.image is not None
    request = ImportRequest(caller=ME, image=report.image.id, disk_format="raw")
    again = desk.run(Bytes(CONTENT), shelf, request=request)
    assert again.error is None
    assert again.image is not None
    assert again.image.status == "active"


class Steps:
    """Steps that misbehave."""

    class Raises(Plugin[NoConfig]):
        """Fail."""

        @hookimpl
        def transform(self) -> Image:
            raise TransformFailed("no", hint="yes")

    class Crashes(Plugin[NoConfig]):
        """Crash."""

        @hookimpl
        def transform(self) -> Image:
            raise KeyError("oops")

    class BreaksTheStream(Plugin[NoConfig]):
        """Fail while the data flows."""

        @hookimpl
        def transform(self, image: Image) -> Image:
            def chunks(source):  # type: ignore[no-untyped-def]
                yield next(source)
                raise TransformFailed("the archive is damaged", hint="get another")

            return image.evolve(data=image.data.through(chunks))

    class AnswersNonsense(Plugin[NoConfig]):
        """Return something else."""

        @hookimpl
        def transform(self) -> str:  # type: ignore[override]
            return "an image, honestly"

    class StopsEarly(Plugin[NoConfig]):
        """Read only a part."""

        @hookimpl
        def transform(self, image: Image) -> Image:
            return image.evolve(data=image.data.through(lambda chunks: iter([next(chunks)])))


@pytest.mark.parametrize(
    ("step", "needle"),
    [
        (Steps.Raises, "no"),
        (Steps.Crashes, "KeyError"),
        (Steps.BreaksTheStream, "archive is damaged"),
        (Steps.AnswersNonsense, "returned str where Image is expected"),
        (Steps.StopsEarly, "was not read to its end"),
    ],
)
def test_a_step_that_misbehaves_is_named(
    desk: Desk, step: Callable[[NoConfig], Plugin[NoConfig]], needle: str
) -> None:
    shelf = Shelf("a")
    report = desk.run(Bytes(CONTENT, CONTENT), shelf, steps=[step(NoConfig())])
    _assert_rolled_back(desk, report, shelf)
    assert report.error is not None
    assert needle in report.error.message
    assert report.error.hint
    if step is not Steps.StopsEarly:
        assert report.error.step == step.__name__.lower()
        assert report.error.distribution == "acme 1.0"


def test_properties_survive_success_and_are_taken_back_after_failure(desk: Desk) -> None:
    class Describe(Plugin[NoConfig]):
        """Add properties, a reserved one among them."""

        @hookimpl
        def transform(self, image: Image) -> Image:
            return image.with_properties(os_distro="debian", os_glance_x="mine")

    report = desk.run(Bytes(CONTENT), Shelf("a"), steps=[Describe(NoConfig())])
    assert report.image is not None
    assert report.image.properties["os_distro"] == "debian"
    assert "os_glance_x" not in report.image.properties
    failed = desk.run(Bytes(CONTENT), Shelf("a", fails="publish"), steps=[Describe(NoConfig())])
    assert failed.image is not None
    assert "os_distro" not in failed.image.properties


def test_what_a_user_changes_meanwhile_survives(desk: Desk) -> None:
    record = desk.catalog.create_image(desk_image("8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a01", name="old"))

    class Meanwhile(Plugin[NoConfig]):
        """Be a user who edits the record."""

        @hookimpl
        def transform(self, image: Image) -> Image:
            desk.catalog.update_image(image.record.id, name="new", properties={"colour": "red"})
            return image.with_properties(os_distro="debian")

    report = desk.run(
        Bytes(CONTENT),
        Shelf("a"),
        steps=[Meanwhile(NoConfig())],
        request=ImportRequest(caller=ME, image=record.id),
    )
    assert report.image is not None
    assert report.image.name == "new"
    assert report.image.properties["colour"] == "red"
    assert report.image.properties["os_distro"] == "debian"


def test_two_imports_of_one_image_exclude_each_other(desk: Desk) -> None:
    record = desk.catalog.create_image(desk_image("8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a02"))
    request = ImportRequest(caller=ME, image=record.id)
    inner: list[Report] = []

    class Again(Plugin[NoConfig]):
        """Import the same image meanwhile."""

        @hookimpl
        def transform(self) -> None:
            inner.append(desk.run(Bytes(CONTENT), Shelf("b"), request=request))

    outer = desk.run(Bytes(CONTENT), Shelf("a"), steps=[Again(NoConfig())], request=request)
    assert outer.error is None
    assert inner[0].exit_code == ExitCode.CONFLICT
    assert inner[0].error is not None
    assert outer.task_id is not None
    assert outer.task_id in inner[0].error.message


def test_an_image_that_is_deleted_meanwhile_leaves_no_bytes(desk: Desk) -> None:
    record = desk.catalog.create_image(desk_image("8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a03"))
    shelf = Shelf("a", after=lambda: _ignore(desk.catalog.delete_image(record.id)))
    report = desk.run(Bytes(CONTENT), shelf, request=ImportRequest(caller=ME, image=record.id))
    assert report.status == "failure"
    assert report.exit_code == ExitCode.CONFLICT
    assert not shelf.visible
    assert not shelf.pending
    assert desk.leftovers() == []
    assert "image.activate" not in desk.listener.kinds()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_import_cleanly(desk: Desk, number: signal.Signals) -> None:
    def stalled(ctx: Context) -> ImageData:
        def chunks():  # type: ignore[no-untyped-def]
            yield CONTENT
            os.kill(os.getpid(), number)
            threading.Event().wait(30)
            yield CONTENT

        return ImageData.from_chunks(chunks)

    class Stalls(Plugin[NoConfig]):
        """Deliver a piece, then nothing."""

        @hookimpl
        def stage(self, ctx: Context) -> ImageData:
            return stalled(ctx)

    shelf = Shelf("a")
    report = desk.run(Stalls(NoConfig()), shelf)
    _assert_rolled_back(desk, report, shelf)
    assert report.exit_code == ExitCode.INTERRUPTED


def test_a_copy_that_cannot_be_deleted_is_reported_and_found_again(desk: Desk) -> None:
    stubborn, broken = Shelf("stubborn", fails="delete"), Shelf("broken", fails="publish")
    report = desk.run(Bytes(CONTENT), stubborn, broken)
    assert report.status == "failure"
    assert report.image is not None
    assert report.orphans == [f"shelf:stubborn/{report.image.id}"]
    assert report.task_id is not None
    assert [copy.store for copy in desk.catalog.pending_locations(report.task_id)] == ["stubborn"]
    assert desk.catalog.get_image(report.image.id).status == "queued"
    assert not desk.catalog.is_locked(report.image.id)


def test_events_come_in_the_order_of_the_contract(desk: Desk) -> None:
    desk.run(Bytes(CONTENT), Shelf("a"), Shelf("b"))
    created, *kinds = desk.listener.kinds()
    assert created == "image.create"
    assert kinds[:3] == ["task.create", "task.processing", "image.update"]
    assert kinds[3:6] == ["image.prepare", "image.upload", "image.update"]
    assert kinds[6:10] == ["image.prepare", "image.upload", "image.activate", "image.update"]
    assert kinds[10:] == ["image.update", "task.success"]


def test_no_more_stores_than_allowed_are_written_at_once(desk: Desk) -> None:
    desk.site = desk.site.model_copy(
        update={"limits": desk.site.limits.model_copy(update={"max_parallel_stores": 2})}
    )
    at_once = [0, 0]
    lock = threading.Lock()

    class Counting(Shelf):
        @hookimpl
        def store_write(self, image: Image, ctx: Context):  # type: ignore[no-untyped-def]
            with lock:
                at_once[0] += 1
                at_once[1] = max(at_once)
            try:
                return super().store_write(image, ctx)
            finally:
                with lock:
                    at_once[0] -= 1

    source = Bytes(CONTENT)
    shelves = [Counting(f"s{number}") for number in range(5)]
    report = desk.run(source, *shelves)
    assert report.error is None
    assert source.read == len(CONTENT)
    assert all(list(shelf.visible.values()) == [CONTENT] for shelf in shelves)
    assert at_once[1] == 2
