"""Tasks: looking them up, cancelling them, forgetting them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from imageport.catalog import Catalog, Lease
from imageport.errors import Conflict, UsageError
from imageport.values import ImageRecord, Location

Begin = Callable[..., Lease]

LATER = timedelta(hours=49)


def test_tasks_are_listed_newest_first_by_image_and_status(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    other = catalog.create_image(ImageRecord(id="other"))
    first = begin(image)
    first.fail(message="")
    second = begin(other)
    third = begin(image)
    assert [task.id for task in catalog.list_tasks()] == [third.task_id, second.task_id, first.task_id]
    assert [task.id for task in catalog.list_tasks(image_id=image.id)] == [third.task_id, first.task_id]
    assert [task.id for task in catalog.list_tasks(status="failure")] == [first.task_id]


def test_a_task_is_found_by_the_beginning_of_its_id(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image)
    assert catalog.find_task(lease.task_id[:4]) == catalog.get_task(lease.task_id)
    with pytest.raises(UsageError, match="too short"):
        catalog.find_task(lease.task_id[:3])
    with pytest.raises(UsageError, match="no task %%%%"):
        catalog.find_task("%%%%")
    with pytest.raises(UsageError, match="no task nothing"):
        catalog.get_task("nothing")


def test_the_beginning_of_several_ids_names_them(url: str, catalog: Catalog, begin: Begin) -> None:
    for image_id in ("one", "two"):
        begin(catalog.create_image(ImageRecord(id=image_id)))
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE tasks SET id = 'same-' || image_id"))
    engine.dispose()
    with pytest.raises(UsageError, match="several tasks begin with same: same-one, same-two"):
        catalog.find_task("same")


def test_progress_is_kept_with_each_renewal(catalog: Catalog, begin: Begin, image: ImageRecord) -> None:
    lease = begin(image, lease_seconds=3600)
    before = catalog.get_task(lease.task_id)
    assert lease.renew({"fast": [5, None]}) is False
    after = catalog.get_task(lease.task_id)
    assert after.progress == {"fast": [5, None]}
    assert after.updated_at > before.updated_at
    assert after.lease_expires_at - after.updated_at == timedelta(hours=1)


def test_an_import_hears_that_it_is_to_stop_when_it_renews(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image)
    assert catalog.request_cancel(lease.task_id).cancel_requested
    assert lease.renew({}) is True


def test_a_task_that_is_over_cannot_be_cancelled(catalog: Catalog, begin: Begin, image: ImageRecord) -> None:
    lease = begin(image)
    lease.fail(message="")
    with pytest.raises(Conflict, match=f"task {lease.task_id} ended with failure already"):
        catalog.request_cancel(lease.task_id)
    with pytest.raises(UsageError, match="no task nothing"):
        catalog.request_cancel("nothing")


def test_a_finished_task_is_forgotten_after_two_days(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image)
    now = datetime.now(UTC)
    assert catalog.remove_expired_tasks(now + LATER) == 0
    lease.fail(message="")
    assert catalog.remove_expired_tasks(now) == 0
    assert catalog.remove_expired_tasks(now + LATER) == 1
    assert catalog.list_tasks() == []


def test_bytes_that_have_to_go_are_known_after_their_task_is_forgotten(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image)
    copy = Location(url="file:///fast/image", store="fast")
    lease.announce(copy)
    assert catalog.hidden_copies() == []
    lease.fail(message="")
    assert catalog.remove_expired_tasks(datetime.now(UTC) + LATER) == 1
    [hidden] = catalog.hidden_copies()
    assert (hidden.task_id, hidden.image_id, hidden.location) == (lease.task_id, image.id, copy)
    assert catalog.claim_removal(hidden.task_id, hidden.location)
    catalog.forget(hidden.task_id, hidden.location)
    assert catalog.hidden_copies() == []
