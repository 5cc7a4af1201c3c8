"""Copies of an active image: from any store that holds it, to the stores that lack it."""

from __future__ import annotations

import pytest
from tests.importing.desk import Bytes, Desk, Shelf
from tests.noise import noise

from imageport import Caller, Context, ImageData, NoConfig, Plugin, hookimpl
from imageport.errors import ExitCode
from imageport.importing.admission import ImportRequest
from imageport_builtin.copy_image import CopyImage

CONTENT = noise(2 << 20)
ADMIN = Caller(user="boss", roles=frozenset({"Admin"}))


def _imported(desk: Desk, *shelves: Shelf) -> str:
    report = desk.run(Bytes(CONTENT), *shelves)
    assert report.image is not None
    assert report.error is None
    return report.image.id


def _copy(**fields: object) -> ImportRequest:
    return ImportRequest(caller=ADMIN, **fields)  # type: ignore[arg-type]


def _method() -> CopyImage:
    return CopyImage(NoConfig())


def test_a_copy_fills_the_stores_that_lack_the_image_and_changes_nothing_else(desk: Desk) -> None:
    one, two, three = Shelf("one"), Shelf("two"), Shelf("three")
    image_id = _imported(desk, one)
    before = desk.catalog.get_image(image_id)
    report = desk.run(_method(), one, two, three, request=_copy(image=image_id))
    assert report.error is None
    assert list(two.visible.values()) == list(three.visible.values()) == [CONTENT]
    after = desk.catalog.get_image(image_id)
    assert after.status == "active"
    assert (after.owner, after.checksum, after.size) == (before.owner, before.checksum, before.size)
    assert {location.store for location in after.locations} == {"one", "two", "three"}
    assert report.stores["one"].status == "skipped"
    assert len(desk.catalog.list_tasks(image_id=image_id)) == 2


def test_copying_where_every_store_has_it_does_nothing(desk: Desk) -> None:
    one = Shelf("one")
    image_id = _imported(desk, one)
    report = desk.run(_method(), one, request=_copy(image=image_id))
    assert report.status == "success"
    assert report.task_id is None
    assert len(desk.catalog.list_tasks(image_id=image_id)) == 1


def test_naming_a_store_that_holds_the_image_is_refused(desk: Desk) -> None:
    one, two = Shelf("one"), Shelf("two")
    image_id = _imported(desk, one)
    report = desk.run(_method(), one, two, request=_copy(image=image_id, stores=("one", "two")))
    assert report.exit_code == ExitCode.USAGE
    assert not two.visible


def test_a_failed_copy_leaves_the_old_ones_and_can_be_repeated(desk: Desk) -> None:
    one, two, three = Shelf("one"), Shelf("two"), Shelf("three", fails="publish")
    image_id = _imported(desk, one)
    report = desk.run(_method(), one, two, three, request=_copy(image=image_id))
    assert report.exit_code == ExitCode.STORE_FAILED
    record = desk.catalog.get_image(image_id)
    assert record.status == "active"
    assert [location.store for location in record.locations] == ["one"]
    assert record.properties["os_glance_failed_import"] == "three"
    assert record.properties["os_glance_importing_to_stores"] == ""
    assert not two.visible
    assert list(one.visible.values()) == [CONTENT]
    again = desk.run(_method(), one, two, three, request=_copy(image=image_id), must=False)
    assert again.error is None
    assert list(two.visible.values()) == [CONTENT]


def test_when_no_store_takes_the_copy_the_task_fails_and_the_image_stays(desk: Desk) -> None:
    one, two = Shelf("one"), Shelf("two", fails="middle")
    image_id = _imported(desk, one)
    report = desk.run(_method(), one, two, request=_copy(image=image_id), must=False)
    assert report.exit_code == ExitCode.STORE_FAILED
    assert desk.catalog.get_image(image_id).status == "active"


def test_another_copy_serves_when_the_first_is_gone(desk: Desk) -> None:
    one, two, three = Shelf("one"), Shelf("two"), Shelf("three")
    image_id = _imported(desk, one, two)
    one.visible.clear()
    report = desk.run(_method(), one, two, three, request=_copy(image=image_id))
    assert report.error is None
    assert list(three.visible.values()) == [CONTENT]


def test_when_every_copy_is_gone_the_image_stays_as_it_was(desk: Desk) -> None:
    one, two = Shelf("one"), Shelf("two")
    image_id = _imported(desk, one)
    one.visible.clear()
    report = desk.run(_method(), one, two, request=_copy(image=image_id))
    assert report.exit_code == ExitCode.STORE_FAILED
    record = desk.catalog.get_image(image_id)
    assert record.status == "active"
    assert record.properties["os_glance_importing_to_stores"] == ""
    assert record.properties["os_glance_failed_import"] == ""


def test_a_damaged_copy_is_not_spread(desk: Desk) -> None:
    one, two = Shelf("one"), Shelf("two")
    image_id = _imported(desk, one)
    [url] = one.visible
    one.visible[url] = CONTENT[:-1] + bytes([CONTENT[-1] ^ 1])
    report = desk.run(_method(), one, two, request=_copy(image=image_id))
    assert report.exit_code == ExitCode.VERIFICATION_FAILED
    assert "the copy in store one is damaged" in (report.error.message if report.error else "")
    assert not two.visible
    assert not two.pending


@pytest.mark.parametrize("role", ["member", ""])
def test_the_policy_keeps_others_out(desk: Desk, role: str) -> None:
    one, two = Shelf("one"), Shelf("two")
    image_id = _imported(desk, one)
    desk.catalog.update_image(image_id, visibility="public")
    caller = Caller(user="someone", roles=frozenset({role}))
    report = desk.run(_method(), one, two, request=ImportRequest(caller=caller, image=image_id))
    assert report.exit_code == ExitCode.USAGE
    assert "policy copy_image" in (report.error.message if report.error else "")


def test_an_image_that_is_not_active_cannot_be_copied_nor_an_active_one_imported(desk: Desk) -> None:
    one = Shelf("one")
    failed = desk.run(Bytes(CONTENT), Shelf("one", fails="publish"))
    assert failed.image is not None
    report = desk.run(_method(), one, request=_copy(image=failed.image.id))
    assert report.exit_code == ExitCode.CONFLICT
    image_id = _imported(desk, one)
    report = desk.run(Bytes(CONTENT), Shelf("two"), request=_copy(image=image_id))
    assert report.exit_code == ExitCode.CONFLICT
    assert desk.catalog.get_image(image_id).status == "active"


def test_nothing_staged_is_reported_before_anything_starts(desk: Desk) -> None:
    class Staged(Plugin[NoConfig]):
        """Read staging."""

        starts_from = frozenset({"uploading"})

        @hookimpl
        def stage(self, ctx: Context) -> ImageData:
            raise AssertionError("not reached")

    report = desk.run(Staged(NoConfig()), Shelf("one"))
    assert report.exit_code == ExitCode.CONFLICT
    assert "queued" in (report.error.message if report.error else "")
