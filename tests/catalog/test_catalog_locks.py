"""Two imports that want one image, and imports whose process has died."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from inspect import isfunction
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import create_engine, text

from imageport.access.quotas import Quotas, demand_to_keep
from imageport.catalog import Catalog, Lease, TaskRow, processes
from imageport.errors import Conflict, LockLost
from imageport.values import ImageRecord, Location

if TYPE_CHECKING:
    from tests.catalog.conftest import OtherProcess

Begin = Callable[..., Lease]
Start = Callable[[], "OtherProcess"]

COPY = Location(url="file:///fast/image", store="fast")

FENCED: dict[str, Callable[[Lease], object]] = {
    "start": lambda lease: lease.start(),
    "reserve": lambda lease: lease.reserve(7, demand_to_keep(Quotas(), lease.before, 7)),
    "update": lambda lease: lease.update(name="robbed"),
    "renew": lambda lease: lease.renew({"robbed": 1}),
    "require": lambda lease: lease.require(),
    "announce": lambda lease: lease.announce(COPY),
    "publish": lambda lease: lease.publish(COPY),
    "unpublish": lambda lease: lease.unpublish(),
    "store_failed": lambda lease: lease.store_failed("fast"),
    "finish": lambda lease: lease.finish(fields={"name": "robbed"}, result={}),
}


def taken(task: TaskRow | None) -> TaskRow:
    assert task is not None
    return task


def test_of_processes_that_race_for_an_image_exactly_one_gets_it(
    catalog: Catalog, other_process: Start
) -> None:
    processes = [other_process().open(), other_process().open()]
    images = [catalog.create_image(ImageRecord(id=f"image-{number}")) for number in range(25)]
    for image in images:
        for process in processes:
            process.send("begin", image.id)
    answers = [[process.answer() for _ in images] for process in processes]
    for image, pair in zip(images, zip(*answers, strict=True), strict=True):
        [task] = catalog.list_tasks(image_id=image.id)
        winner, loser = sorted(pair, key=lambda answer: answer.startswith("conflict"))
        assert winner == task.id
        assert loser.startswith(f"conflict: image {image.id} is locked by task {task.id}")


def test_an_import_that_lives_cannot_be_taken_over(
    catalog: Catalog, image: ImageRecord, other_process: Start
) -> None:
    task_id = other_process().open().do("begin", image.id)
    task = catalog.get_task(task_id)
    assert catalog.dead_import(image.id) is None
    assert catalog.dead_imports() == []
    assert catalog.take_over(task) is None
    catalog.recover(task)
    assert catalog.get_task(task_id) == task
    assert catalog.is_locked(image.id)


def test_a_killed_import_is_rolled_back_from_its_row_alone(
    catalog: Catalog, begin: Begin, image: ImageRecord, other_process: Start
) -> None:
    process = other_process().open()
    task_id = process.do("publish", image.id)
    assert [copy.store for copy in catalog.get_image(image.id).locations] == ["fast"]
    process.kill()
    assert [task.id for task in catalog.dead_imports()] == [task_id]
    with pytest.raises(Conflict, match=f"locked by task {task_id}, .* has died") as caught:
        begin(image)
    assert "run the import again" in caught.value.hint

    task = taken(catalog.dead_import(image.id))
    assert task.id == task_id
    assert catalog.get_image(image.id).locations == (), "bytes that go must not be found"
    leftovers = catalog.pending_locations(task_id)
    assert [copy.store for copy in leftovers] == ["fast", "archive"]
    for copy in leftovers:
        catalog.forget(task_id, copy)
    catalog.recover(task)

    record = catalog.get_image(image.id)
    assert record == image.evolve(
        properties={"os_glance_importing_to_stores": "", "os_glance_failed_import": ""},
        updated_at=record.updated_at,
    )
    ended = catalog.get_task(task_id)
    assert ended.status == "failure"
    assert f"process {process.popen.pid} on " in ended.message
    assert catalog.dead_imports() == []
    begin(image)


def test_a_process_counts_as_gone_when_another_one_has_its_number() -> None:
    mine = processes.this_process()
    host, pid, start = mine.rsplit(":", 2)
    ticks, _, space = start.partition("-")
    assert not processes.is_gone(mine)
    assert processes.is_gone(f"{host}:{pid}:{int(ticks) - 1}-{space}")


def test_a_process_of_another_machine_with_the_same_name_is_not_judged(other_process: Start) -> None:
    host, _, start = processes.this_process().rsplit(":", 2)
    process = other_process()
    process.kill()
    process.close()
    ticks, _, space = start.partition("-")
    assert processes.is_gone(f"{host}:{process.popen.pid}:{ticks}-{space}")
    assert not processes.is_gone(f"{host}:{process.popen.pid}:{ticks}-another{space}")


def test_a_lease_that_ran_out_can_be_taken_over(catalog: Catalog, begin: Begin, image: ImageRecord) -> None:
    old = begin(image, lease_seconds=-1)
    task = taken(catalog.dead_import(image.id))
    assert task.id == old.task_id
    assert task.fence > old.fence
    catalog.recover(task)
    assert catalog.get_task(old.task_id).status == "failure"
    assert begin(image).fence > task.fence


def test_a_lease_that_ran_out_can_be_renewed_unless_it_was_taken_over(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = replace(begin(image, lease_seconds=-1), seconds=60)
    assert not lease.renew({"done": 1})
    assert catalog.dead_import(image.id) is None
    lease.finish(result={})


def test_every_way_of_an_import_to_write_is_fenced() -> None:
    ways = {name for name, member in vars(Lease).items() if isfunction(member) and not name.startswith("_")}
    # A failure that comes too late changes nothing, and raises nothing.
    assert ways == {*FENCED, "fail"}


@pytest.mark.parametrize("call", FENCED)
@pytest.mark.parametrize("moment", ["taken over", "recovered", "imported again"])
def test_a_robbed_import_can_change_nothing_any_more(
    catalog: Catalog, begin: Begin, image: ImageRecord, call: str, moment: str
) -> None:
    old = begin(image, lease_seconds=-1)
    old.announce(COPY)
    task = taken(catalog.dead_import(image.id))
    if moment != "taken over":
        catalog.recover(task)
    if moment == "imported again":
        begin(image)
    before = (catalog.list_images(), catalog.list_tasks(), catalog.pending_locations(old.task_id))
    with pytest.raises(LockLost) as caught:
        FENCED[call](old)
    assert caught.value.hint
    old.fail(message="noise", failed_stores=["fast"])
    after = (catalog.list_images(), catalog.list_tasks(), catalog.pending_locations(old.task_id))
    assert after == before


def test_only_one_process_takes_a_dead_import_over(
    catalog: Catalog, begin: Begin, image: ImageRecord, other_process: Start
) -> None:
    begin(image, lease_seconds=-1)
    processes = [other_process().open(), other_process().open()]
    for process in processes:
        process.send("dead", image.id)
    answers = sorted(process.answer() for process in processes)
    assert answers == sorted([catalog.list_tasks()[0].id, "none"])
    with pytest.raises(Conflict):
        begin(image)


def test_who_takes_over_a_dead_import_may_die_as_well(
    catalog: Catalog, begin: Begin, image: ImageRecord, other_process: Start
) -> None:
    lease = begin(image, lease_seconds=-1)
    process = other_process().open()
    assert process.do("dead", image.id) == lease.task_id
    assert catalog.dead_import(image.id) is None
    process.kill()
    catalog.recover(taken(catalog.dead_import(image.id)))
    begin(image)


def test_a_dead_import_can_be_recovered_in_one_step(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image, lease_seconds=-1)
    [task] = catalog.dead_imports()
    catalog.recover(task)
    catalog.recover(task)
    assert not catalog.is_locked(image.id)
    assert catalog.get_task(lease.task_id).status == "failure"


def test_a_dead_import_of_a_deleted_image_is_found_and_ended(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image, lease_seconds=-1)
    lease.announce(COPY)
    catalog.delete_image(image.id)
    [task] = catalog.dead_imports()
    task = taken(catalog.take_over(task))
    assert catalog.pending_locations(task.id) == [COPY]
    catalog.recover(task)
    assert catalog.dead_imports() == []
    assert catalog.get_task(task.id).status == "failure"


def test_a_lock_whose_task_was_lost_does_not_block_for_ever(
    url: str, catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lost = begin(image)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM tasks"))
    engine.dispose()
    assert catalog.dead_import(image.id) is None
    begin(image)
    with pytest.raises(LockLost):
        lost.renew({})


@pytest.mark.parametrize(
    "act",
    [
        pytest.param(lambda lease: lease.start(), id="start"),
        pytest.param(lambda lease: lease.renew({}), id="renew"),
        pytest.param(lambda lease: lease.require(), id="require"),
        pytest.param(lambda lease: lease.update(name="other"), id="update"),
        pytest.param(lambda lease: lease.finish(fields={"name": "other"}, result={}), id="finish"),
    ],
)
def test_an_import_whose_task_was_lost_stops_at_the_next_statement_and_changes_nothing(
    url: str, catalog: Catalog, begin: Begin, image: ImageRecord, act: Callable[[Lease], object]
) -> None:
    lease = begin(image)
    before = catalog.get_image(image.id)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM tasks"))
    engine.dispose()
    with pytest.raises(LockLost, match=f"task {lease.task_id} was removed from the catalog"):
        act(lease)
    assert catalog.get_image(image.id) == before


def test_an_active_image_whose_task_was_lost_is_not_taken_away(
    url: str, catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image)
    lease.announce(COPY)
    lease.publish(COPY)
    lease.update(status="active", size=7)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM tasks"))
    engine.dispose()
    record = lease.fail(message="removed")
    assert (record.status, record.size, record.locations) == ("active", 7, (COPY,))
    assert record.properties == {"os_glance_importing_to_stores": "", "os_glance_failed_import": "archive"}


def test_an_image_that_its_dead_import_had_made_active_stays_active(
    catalog: Catalog, begin: Begin, image: ImageRecord
) -> None:
    lease = begin(image, lease_seconds=-1)
    slow = Location(url="file:///archive/image", store="archive")
    for copy in (COPY, slow):
        lease.announce(copy)
    lease.publish(COPY)
    lease.update(status="active", size=7)
    task = taken(catalog.dead_import(image.id))
    assert catalog.pending_locations(task.id) == [slow]
    catalog.forget(task.id, slow)
    catalog.recover(task)
    record = catalog.get_image(image.id)
    assert (record.status, record.size, record.locations) == ("active", 7, (COPY,))
    assert record.properties == {"os_glance_importing_to_stores": "", "os_glance_failed_import": "archive"}
    ended = catalog.get_task(task.id)
    assert (ended.status, ended.result) == ("success", {"image_id": image.id})
    assert "died" in ended.message


def test_a_dead_copy_of_an_active_image_is_taken_back(catalog: Catalog, begin: Begin) -> None:
    image = catalog.create_image(ImageRecord(id="active", status="active"))
    lease = begin(image, starts_from={"active"}, lease_seconds=-1)
    lease.announce(COPY)
    lease.publish(COPY)
    task = taken(catalog.dead_import(image.id))
    assert catalog.pending_locations(task.id) == [COPY]
    catalog.recover(task)
    assert catalog.get_image(image.id).status == "active"
    assert catalog.get_image(image.id).locations == ()
    assert catalog.get_task(task.id).status == "failure"
