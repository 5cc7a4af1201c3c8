"""Roll an import back: one that failed, or one whose process has died.

Each function is called within one transaction, and locks the row of the image before that of the task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, select

from imageport.catalog import images, locations, lock, tables, tasks
from imageport.catalog.engine import current_time
from imageport.catalog.lock import FAILED, IMPORTING, LOCK, joined, stores_in
from imageport.catalog.processes import is_gone, this_process
from imageport.catalog.tasks import TaskRow
from imageport.values import ImageRecord

#: How long the removal of a dead import's bytes may take until another process may take that over as well.
TAKE_OVER_TIME = timedelta(minutes=10)

_NEW = frozenset({"queued", "uploading"})


def fail(
    connection: Connection,
    before: ImageRecord,
    task_id: str,
    fence: int,
    *,
    message: str,
    failed_stores: Sequence[str],
    cause: Mapping[str, str | None] | None,
) -> None:
    """End the import that has this *fence* with failure; *before* is the image as it was when it began.

    Does nothing when the task has ended, or when another process took it over, which will then do this.
    """
    current_fence = images.lock_row_if_any(connection, before.id)
    task = tasks.lock_row_if_any(connection, task_id)
    if task is None:
        # A user has removed the task itself.
        if current_fence == fence:
            now = current_time(connection)
            if is_in_use(connection, before.id, before.status):
                _release_active(connection, before.id, now)
                return
            _restore_without_task(connection, before, now, failed_stores)
        locations.hide(connection, tables.image_locations.c.task_id == task_id)
    elif not task.finished and task.fence == fence:
        _undo(connection, task, message=message, failed_stores=failed_stores, result={}, cause=cause)


def is_in_use(connection: Connection, image_id: str, status_before: str) -> bool:
    """Return whether users have the image, to which its import gave that state."""
    return status_before in _NEW and images.get(connection, image_id).status == "active"


def _undo(
    connection: Connection,
    task: TaskRow,
    *,
    message: str,
    failed_stores: Sequence[str] = (),
    result: Mapping[str, Any] | None = None,
    cause: Mapping[str, str | None] | None = None,
) -> None:
    """Put back what the import changed, end its task with failure and release the lock.

    An image that users have already is not taken from them: its import ends with the copies that are published.
    """
    if _made_active(connection, task):
        _complete(connection, task, message)
        return
    now = current_time(connection)
    if lock.holder(connection, task.image_id) == task.id:
        fields, properties = _undone(connection, task, failed_stores)
        images.write(connection, task.image_id, now, fields=fields, properties=properties)
    locations.hide(connection, tables.image_locations.c.task_id == task.id)
    tasks.close(connection, task.id, now, status="failure", message=message, result=result, cause=cause)


def take_over(connection: Connection, task: TaskRow) -> TaskRow | None:
    """Make this process the one that settles the dead *task*; None when it is not dead, or no longer.

    Copies that have to go are hidden at once, so that no reader finds one whose bytes are being removed.
    """
    image_fence = images.lock_row_if_any(connection, task.image_id) or 0
    current = tasks.lock_row(connection, task.id)
    now = current_time(connection)
    if not current.is_dead(now):
        return None
    fence = max(image_fence, current.fence) + 1
    if lock.holder(connection, task.image_id) == task.id:
        images.set_fence(connection, task.image_id, fence)
    if not _made_active(connection, task):
        locations.hide(connection, tables.image_locations.c.task_id == task.id)
    if not is_gone(current.holder):
        touched = connection.execute(
            select(tables.tasks.c.touched).where(tables.tasks.c.id == task.id)
        ).scalar_one()
        tasks.write(connection, task.id, now, touched={**touched, tables.WRITER: current.holder})
    tasks.write(
        connection,
        task.id,
        now,
        message=f"the import died: its {current.process} ended or stopped renewing its lease",
        holder=this_process(),
        fence=fence,
        lease_expires_at=now + TAKE_OVER_TIME,
    )
    return tasks.get(connection, task.id)


def recover(connection: Connection, task: TaskRow) -> None:
    """End *task* if it is dead or this process took it over: rolled back, unless its image is in use already."""
    current = take_over(connection, task) or tasks.get(connection, task.id)
    if current.finished or current.holder != this_process():
        return
    _undo(connection, current, message=current.message)


def _made_active(connection: Connection, task: TaskRow) -> bool:
    """Return whether the import had everything checked and gave its image to the users before it died."""
    if lock.holder(connection, task.image_id) != task.id:
        return False
    before = connection.execute(
        select(tables.tasks.c.snapshot).where(tables.tasks.c.id == task.id)
    ).scalar_one()
    return is_in_use(connection, task.image_id, before["fields"]["status"])


def _complete(connection: Connection, task: TaskRow, message: str) -> None:
    """End the import with the copies that it had published; the other stores have failed."""
    now = current_time(connection)
    _release_active(connection, task.image_id, now)
    tasks.close(
        connection,
        task.id,
        now,
        status="success",
        message=f"{message}, after the image had become active",
        result={"image_id": task.image_id},
    )


def _release_active(connection: Connection, image_id: str, now: datetime) -> None:
    """Unlock an image that users have; the stores that were not reached have failed."""
    record = images.get(connection, image_id)
    failed = stores_in(record, FAILED) | stores_in(record, IMPORTING)
    properties = {IMPORTING: "", FAILED: joined(failed), LOCK: None}
    images.write(connection, image_id, now, fields={}, properties=properties)


def _undone(
    connection: Connection, task: TaskRow, failed_stores: Sequence[str]
) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Return the fields and properties that the image gets back when its import has failed."""
    row = connection.execute(
        select(tables.tasks.c.snapshot, tables.tasks.c.touched).where(tables.tasks.c.id == task.id)
    ).one()
    before = row.snapshot["fields"]
    fields = {name: before[name] for name in row.touched["fields"]}
    if before["status"] in _NEW:
        # A staged image goes back to queued as well: the import may have used its data up.
        fields |= {"status": "queued", "size": None, "virtual_size": None}
    failed = stores_in(images.get(connection, task.image_id), FAILED) | set(failed_stores)
    properties = {name: row.snapshot["properties"].get(name) for name in row.touched["properties"]}
    return fields, properties | {IMPORTING: "", FAILED: joined(failed), LOCK: None}


def _restore_without_task(
    connection: Connection, before: ImageRecord, now: datetime, failed_stores: Sequence[str]
) -> None:
    if before.status in _NEW:
        fields = images.snapshot(before)["fields"] | {"status": "queued"}
        images.write(connection, before.id, now, fields=fields, properties={})
    failed = stores_in(images.get(connection, before.id), FAILED) | set(failed_stores)
    images.write(
        connection,
        before.id,
        now,
        fields={},
        properties={IMPORTING: "", FAILED: joined(failed), LOCK: None},
    )
