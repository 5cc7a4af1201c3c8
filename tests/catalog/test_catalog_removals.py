"""Bytes of copies that have to go: removed by one process at a time, and never those of another import."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from imageport.catalog import Catalog, Lease
from imageport.errors import Conflict
from imageport.values import ImageRecord, Location

if TYPE_CHECKING:
    from tests.catalog.conftest import OtherProcess

Begin = Callable[..., Lease]
Start = Callable[[], "OtherProcess"]

COPY = Location(url="file:///fast/image", store="fast")


@pytest.fixture
def failed(catalog: Catalog, begin: Begin, image: ImageRecord) -> Lease:
    """Return a failed import that left the bytes of a copy."""
    lease = begin(image)
    lease.announce(COPY)
    lease.fail(message="")
    return lease


def test_no_import_writes_where_a_copy_is_being_removed(
    catalog: Catalog, begin: Begin, image: ImageRecord, failed: Lease
) -> None:
    assert catalog.claim_removal(failed.task_id, COPY)
    lease = begin(image)
    with pytest.raises(Conflict, match="is just removing an earlier copy") as caught:
        lease.announce(COPY)
    assert "imageport gc" in caught.value.hint
    catalog.forget(failed.task_id, COPY)
    lease.announce(COPY)


def test_a_copy_that_was_taken_over_or_can_be_seen_is_not_removed(
    catalog: Catalog, begin: Begin, image: ImageRecord, failed: Lease
) -> None:
    lease = begin(image)
    lease.announce(COPY)
    assert not catalog.claim_removal(failed.task_id, COPY)
    lease.publish(COPY)
    assert not catalog.claim_removal(lease.task_id, COPY)
    assert not catalog.claim_removal(None, COPY)
    lease.finish(fields={"status": "active"}, result={})
    assert catalog.get_image(image.id).locations == (COPY,)


def test_a_removal_that_did_not_succeed_is_found_again(
    catalog: Catalog, begin: Begin, image: ImageRecord, failed: Lease
) -> None:
    assert catalog.claim_removal(failed.task_id, COPY)
    catalog.release_removal(failed.task_id, COPY)
    assert [copy.location for copy in catalog.hidden_copies()] == [COPY]
    begin(image).announce(COPY)


def test_one_process_alone_removes_a_copy_until_it_dies(
    catalog: Catalog, image: ImageRecord, failed: Lease, other_process: Start
) -> None:
    process = other_process().open()
    assert process.do("claim", image.id) == "True"
    assert not catalog.claim_removal(failed.task_id, COPY)
    assert catalog.hidden_copies() == []
    catalog.release_removal(failed.task_id, COPY)
    catalog.forget(failed.task_id, COPY)
    assert catalog.pending_locations(failed.task_id) == [COPY]
    process.kill()
    assert [copy.location for copy in catalog.hidden_copies()] == [COPY]
    assert catalog.claim_removal(failed.task_id, COPY)
    catalog.forget(failed.task_id, COPY)
    assert catalog.pending_locations(failed.task_id) == []


def test_a_removal_on_another_host_counts_as_over_after_its_time(
    url: str, catalog: Catalog, image: ImageRecord, failed: Lease, other_process: Start
) -> None:
    assert other_process().open().do("claim", image.id) == "True"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE image_locations SET removal_expires_at = :then, remover = :remover"),
            {"then": "2025-01-01 00:00:00", "remover": "elsewhere:4711:1-another"},
        )
    engine.dispose()
    assert catalog.claim_removal(failed.task_id, COPY)


def test_a_take_over_leaves_alone_what_is_being_removed(
    catalog: Catalog, begin: Begin, image: ImageRecord, other_process: Start
) -> None:
    lease = begin(image, lease_seconds=-1)
    lease.announce(COPY)
    assert catalog.claim_removal(lease.task_id, COPY)
    task = catalog.dead_import(image.id)
    assert task is not None
    catalog.recover(task)
    with pytest.raises(Conflict, match="is just removing"):
        begin(image).announce(COPY)


def test_deleting_an_image_hides_what_an_import_published_meanwhile(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image)
    lease.announce(COPY)
    lease.publish(COPY)
    lease.finish(fields={"status": "active"}, result={})
    [copy] = catalog.delete_image(image.id)
    assert copy.location == COPY
    assert catalog.hidden_copies() == [copy]


def test_deleting_an_image_leaves_to_a_living_import_what_it_wrote(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image)
    lease.announce(COPY)
    assert catalog.delete_image(image.id) == []
    assert catalog.pending_locations(lease.task_id) == [COPY]


def test_requiring_the_lease_prolongs_it(catalog: Catalog, begin: Begin, image: ImageRecord) -> None:
    lease = begin(image, lease_seconds=30)
    before = catalog.get_task(lease.task_id).lease_expires_at
    lease.require()
    assert catalog.get_task(lease.task_id).lease_expires_at > before


def test_the_record_of_a_copy_stays_while_its_writer_may_wake_up(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image, lease_seconds=-1)
    lease.announce(COPY)
    task = catalog.dead_import(image.id)
    assert task is not None
    assert catalog.claim_removal(task.id, COPY)
    catalog.forget(task.id, COPY)
    catalog.recover(task)
    assert catalog.hidden_copies() == []
    assert catalog.knows(image.id, COPY)
    begun_anew = begin(image)
    begun_anew.announce(COPY)
    begun_anew.fail(message="")
    assert [copy.task_id for copy in catalog.hidden_copies()] == [begun_anew.task_id]


def test_the_record_of_a_copy_goes_with_the_task_of_a_writer_that_is_not_seen(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image, lease_seconds=-1)
    lease.announce(COPY)
    task = catalog.dead_import(image.id)
    assert task is not None
    catalog.forget(task.id, COPY)
    catalog.recover(task)
    catalog.remove_expired_tasks(datetime.now(UTC) + timedelta(days=3))
    [hidden] = catalog.hidden_copies()
    assert catalog.claim_removal(hidden.task_id, hidden.location)
    catalog.forget(hidden.task_id, hidden.location)
    assert not catalog.knows(image.id, COPY)
