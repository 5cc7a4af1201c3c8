"""An import from beginning to end, as the catalog sees it."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from imageport.catalog import Catalog, Lease, this_process
from imageport.errors import Conflict, LockLost, UsageError
from imageport.values import ImageRecord, Location

IMPORTING = "os_glance_importing_to_stores"
FAILED = "os_glance_failed_import"
LOCK = "os_glance_import_task"

Begin = Callable[..., Lease]


def at(store: str) -> Location:
    return Location(url=f"file:///{store}/image", store=store, metadata={"definition": store})


@pytest.fixture
def active(catalog: Catalog) -> ImageRecord:
    """Return an active image with one copy."""
    return catalog.create_image(
        ImageRecord(
            id=str(uuid.uuid4()),
            name="debian",
            status="active",
            disk_format="raw",
            size=10,
            virtual_size=20,
            checksum="c",
            locations=(at("old"),),
        )
    )


def test_the_beginning_locks_the_image_and_records_its_stores(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    catalog.update_image(image.id, properties={IMPORTING: "zeta", FAILED: "fast,other"})
    before = catalog.get_image(image.id)
    assert not catalog.is_locked(image.id)
    lease = begin(image)
    record = catalog.get_image(image.id)
    task = catalog.get_task(lease.task_id)
    assert lease.before == before
    assert record.status == "importing"
    assert record.properties == {IMPORTING: "archive,fast,zeta", FAILED: "other", LOCK: lease.task_id}
    assert catalog.is_locked(image.id)
    assert (task.type, task.status, task.owner, task.holder) == (
        "import",
        "processing",
        "alice",
        this_process(),
    )
    assert (task.attempt, task.fence, task.cancel_requested, task.result) == (1, 1, False, None)
    assert task.input == {"source": "https://example.org/image.qcow2"}


def test_a_locked_image_is_refused_with_holder_task_and_age(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image)
    with pytest.raises(
        Conflict, match=rf"locked by task {lease.task_id}, started \d+ s ago by process"
    ) as caught:
        begin(image)
    assert lease.task_id in caught.value.hint
    assert len(catalog.list_tasks()) == 1


def test_a_wrong_status_is_refused_and_nothing_changes(
    catalog: Catalog, begin: Begin, active: ImageRecord
) -> None:
    with pytest.raises(Conflict, match="is active; this import needs it queued or uploading") as caught:
        begin(active)
    assert "a pipeline for copies" in caught.value.hint
    assert catalog.get_image(active.id) == active
    assert catalog.list_tasks() == []


def test_an_unknown_image_cannot_be_imported(begin: Begin) -> None:
    with pytest.raises(UsageError, match="no image nothing"):
        begin(ImageRecord(id="nothing"))


def test_a_good_end_publishes_sets_the_record_and_frees_the_lock(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image)
    for store in ("archive", "fast"):
        lease.announce(at(store))
        lease.announce(at(store))
    assert catalog.pending_locations(lease.task_id) == [at("archive"), at("fast")]
    assert catalog.get_image(image.id).locations == ()
    lease.publish(at("fast"))
    half = catalog.get_image(image.id)
    assert (half.locations, half.properties[IMPORTING]) == ((at("fast"),), "archive")
    lease.publish(at("archive"))
    finished = lease.finish(
        fields={"status": "active", "size": 7},
        properties={"os_distro": "debian"},
        result={"image_id": image.id},
    )
    assert finished == catalog.get_image(image.id)
    assert (finished.status, finished.size) == ("active", 7)
    assert finished.locations == (at("archive"), at("fast"))
    assert finished.properties == {IMPORTING: "", FAILED: "", "os_distro": "debian"}
    assert catalog.pending_locations(lease.task_id) == []
    task = catalog.get_task(lease.task_id)
    assert (task.status, task.result) == ("success", {"image_id": image.id})
    with pytest.raises(LockLost):
        lease.renew({})


def test_a_store_that_fails_moves_to_the_failed_list(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image)
    lease.store_failed("fast")
    lease.publish(at("archive"))
    finished = lease.finish(result={})
    assert finished.properties == {IMPORTING: "", FAILED: "fast"}


def test_a_user_may_change_the_image_while_it_is_imported(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image)
    catalog.update_image(image.id, name="renamed", properties={"team": "blue"})
    lease.update(size=7, properties={"os_distro": "debian"})
    finished = lease.finish(fields={"status": "active"}, result={})
    assert (finished.name, finished.size) == ("renamed", 7)
    assert finished.properties == {IMPORTING: "", FAILED: "", "team": "blue", "os_distro": "debian"}


def test_a_bad_end_puts_back_what_the_import_set_and_keeps_what_the_user_set(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    catalog.update_image(
        image.id, disk_format="qcow2", min_ram=1, properties={"keep": "1", "change": "1", "drop": "1"}
    )
    lease = begin(image)
    lease.update(
        properties={"change": "2", "drop": None, "new": "2"},
        disk_format="raw",
        container_format="bare",
        size=1,
        virtual_size=2,
        checksum="c",
        os_hash_algo="sha512",
        os_hash_value="h",
        tags=("injected",),
    )
    lease.update(properties={"newer": "2"})
    catalog.update_image(image.id, name="renamed", min_ram=5, properties={"team": "blue", "keep": None})
    failed = lease.fail(message="step 'unpack': broken", failed_stores=["fast"])
    assert failed == catalog.get_image(image.id)
    assert failed == image.evolve(
        name="renamed",
        disk_format="qcow2",
        min_ram=5,
        properties={"change": "1", "drop": "1", "team": "blue", IMPORTING: "", FAILED: "fast"},
        updated_at=failed.updated_at,
    )
    task = catalog.get_task(lease.task_id)
    assert (task.status, task.message, task.result) == ("failure", "step 'unpack': broken", {})


def test_a_staged_image_goes_back_to_queued_without_sizes(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    catalog.update_image(image.id, status="uploading", size=100)
    failed = begin(image).fail(message="")
    assert (failed.status, failed.size, failed.virtual_size) == ("queued", None, None)


def test_a_failed_copy_leaves_the_active_image_alone_and_adds_to_the_failed_list(
    catalog: Catalog, begin: Begin, active: ImageRecord
) -> None:
    catalog.update_image(active.id, properties={FAILED: "earlier,fast"})
    lease = begin(active, starts_from={"active"})
    assert catalog.get_image(active.id).status == "active"
    lease.announce(at("fast"))
    lease.publish(at("fast"))
    assert lease.unpublish()
    assert catalog.get_image(active.id).locations == (at("old"),)
    assert catalog.pending_locations(lease.task_id) == [at("fast")]
    catalog.forget(lease.task_id, at("fast"))
    failed = lease.fail(message="", failed_stores=["fast"])
    assert catalog.pending_locations(lease.task_id) == []
    assert failed == active.evolve(
        properties={IMPORTING: "", FAILED: "earlier,fast"}, updated_at=failed.updated_at
    )


def test_a_second_failure_changes_nothing(catalog: Catalog, begin: Begin, image: ImageRecord) -> None:
    lease = begin(image)
    first = lease.fail(message="the cause", failed_stores=["fast"])
    assert lease.fail(message="noise", failed_stores=["archive"]) == first
    assert catalog.get_task(lease.task_id).message == "the cause"
    again = begin(image)
    assert lease.fail(message="noise").status == "importing"
    assert catalog.is_locked(image.id)
    again.renew({})


def test_a_failure_after_success_changes_nothing(catalog: Catalog, begin: Begin, image: ImageRecord) -> None:
    lease = begin(image)
    lease.announce(at("fast"))
    lease.publish(at("fast"))
    finished = lease.finish(fields={"status": "active"}, result={})
    assert lease.fail(message="noise", failed_stores=["fast"]) == finished
    assert catalog.get_task(lease.task_id).status == "success"


def test_no_copy_of_a_failed_import_stays_visible_or_is_forgotten(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image)
    lease.announce(at("fast"))
    lease.publish(at("fast"))
    assert lease.fail(message="").locations == ()
    assert catalog.pending_locations(lease.task_id) == [at("fast")]


def test_a_later_import_takes_over_what_an_earlier_one_left_at_the_same_place(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    first = begin(image)
    first.announce(at("fast"))
    first.fail(message="")
    second = begin(image)
    second.announce(at("fast"))
    assert catalog.pending_locations(first.task_id) == []
    catalog.forget(first.task_id, at("fast"))
    second.publish(at("fast"))
    assert catalog.get_image(image.id).locations == (at("fast"),)


def test_a_copy_cannot_be_announced_where_a_visible_one_is(
    catalog: Catalog, begin: Begin, active: ImageRecord
) -> None:
    lease = begin(active, starts_from={"active"})
    with pytest.raises(Conflict, match="store 'old' holds a copy"):
        lease.announce(at("old"))
    lease.fail(message="")
    assert catalog.get_image(active.id).locations == (at("old"),)


def test_forgetting_never_removes_a_visible_copy(catalog: Catalog, begin: Begin, image: ImageRecord) -> None:
    lease = begin(image)
    lease.announce(at("fast"))
    lease.publish(at("fast"))
    catalog.forget(lease.task_id, at("fast"))
    assert catalog.get_image(image.id).locations == (at("fast"),)


def test_an_image_deleted_during_its_import_stays_deleted_and_its_copies_are_known(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image)
    for store in ("fast", "archive"):
        lease.announce(at(store))
    lease.publish(at("fast"))
    catalog.delete_image(image.id)
    with pytest.raises(LockLost, match="the image was deleted"):
        lease.publish(at("archive"))
    assert catalog.pending_locations(lease.task_id) == [at("fast"), at("archive")]
    gone = lease.fail(message="deleted", failed_stores=["archive"])
    assert gone == lease.before.evolve(status="deleted")
    assert catalog.list_images() == []
    assert catalog.get_task(lease.task_id).status == "failure"


def test_an_image_made_again_with_the_same_id_is_closed_to_the_old_import(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    old = begin(image)
    catalog.delete_image(image.id)
    catalog.create_image(image)
    new = begin(image)
    with pytest.raises(LockLost, match=f"task {new.task_id} took it over"):
        old.update(name="old")
    new.update(name="new")


def test_an_image_in_use_is_not_taken_away_by_a_late_failure(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    fast = Location(url="file:///fast/image", store="fast")
    lease = begin(image)
    lease.announce(fast)
    lease.update(status="active", size=1)
    lease.publish(fast)
    kept = lease.fail(message="the disk is on fire", failed_stores=["archive"])
    assert (kept.status, kept.size, kept.properties[FAILED]) == ("active", 1, "archive")
    assert [location.store for location in kept.locations] == ["fast"]
    task = catalog.get_task(lease.task_id)
    assert (task.status, task.message) == (
        "success",
        "the disk is on fire, after the image had become active",
    )
