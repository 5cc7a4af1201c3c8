"""What happens to image and task when an import begins, goes on and ends.

Each function is called within one transaction, and locks the row of the image before that of the task.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select

from imageport.catalog import images, locations, locks, tables, tasks
from imageport.catalog.engine import current_time
from imageport.catalog.lifecycle import require_image_move
from imageport.catalog.locks import IMPORTING, LOCK, STAGE_HOST, Lease
from imageport.catalog.processes import this_process
from imageport.catalog.tasks import TaskRow
from imageport.errors import LockLost
from imageport.values import ImageRecord

FAILED = "os_glance_failed_import"

#: How long the removal of a dead import's bytes may take until somebody else may take that over as well.
TAKE_OVER_TIME = timedelta(minutes=10)

_NEW = frozenset({"queued", "uploading"})


def begin(
    connection: Connection,
    image_id: str,
    *,
    starts_from: Collection[str],
    request: Mapping[str, Any],
    owner: str,
    targets: Sequence[str],
    lease_seconds: float,
    brings_formats: bool,
) -> Lease:
    """Lock the image for a new task and say which stores it is going to. Raises ``Conflict``."""
    fence = images.lock_row(connection, image_id) + 1
    now = current_time(connection)
    locks.make_free(connection, image_id, now)
    before = images.get(connection, image_id)
    require_startable(before, starts_from, brings_formats=brings_formats)
    task_id = str(uuid.uuid4())
    connection.execute(
        insert(tables.tasks),
        {
            "id": task_id,
            "image_id": image_id,
            "type": "import",
            "status": "pending",
            "message": "",
            "owner": owner,
            "input": request,
            "progress": {},
            "holder": this_process(),
            "attempt": 1,
            "fence": fence,
            "cancel_requested": False,
            "snapshot": _snapshot(before),
            "touched": {"fields": [], "properties": []},
            "created_at": now,
            "updated_at": now,
            "lease_expires_at": now + timedelta(seconds=lease_seconds),
        },
    )
    images.set_fence(connection, image_id, fence)
    importing = _stores(before, IMPORTING) | set(targets)
    failed = _stores(before, FAILED) - set(targets)
    images.write(
        connection,
        image_id,
        now,
        fields={} if before.status == "active" else {"status": "importing"},
        properties={
            LOCK: task_id,
            IMPORTING: _joined(importing),
            FAILED: _joined(failed),
            STAGE_HOST: None,
        },
        brings_formats=brings_formats,
    )
    return Lease(task_id=task_id, image_id=image_id, fence=fence, seconds=lease_seconds, before=before)


def require_startable(record: ImageRecord, starts_from: Collection[str], *, brings_formats: bool) -> None:
    """Raise ``Conflict`` unless an import may begin with *record*, as far as status and formats go."""
    images.require_status(record, starts_from, "this import")
    if record.status != "active":
        require_image_move(record, "importing", brings_formats=brings_formats)


def start(connection: Connection, lease: Lease) -> None:
    """Note that the work on the task begins. Raises ``LockLost``."""
    locks.require(connection, lease.image_id, lease.fence)
    tasks.write(connection, lease.task_id, current_time(connection), status="processing")


def renew(connection: Connection, lease: Lease, *, lease_seconds: float, progress: Mapping[str, Any]) -> bool:
    """Prolong the lease and note the progress; return whether somebody wants the import to stop.

    Raises ``LockLost``, also when the task is not there any more.
    """
    _prolong(connection, lease, lease_seconds, progress=progress)
    task = tasks.get_if_any(connection, lease.task_id)
    if task is None:
        raise LockLost(
            f"task {lease.task_id} was removed from the catalog", hint="import again if the image is wanted"
        )
    return task.cancel_requested


def require(connection: Connection, lease: Lease) -> None:
    """Prolong the lease. Raises ``LockLost`` when somebody took it over."""
    _prolong(connection, lease, lease.seconds)


def _prolong(connection: Connection, lease: Lease, seconds: float, **columns: Any) -> None:
    locks.require(connection, lease.image_id, lease.fence)
    now = current_time(connection)
    expires = now + timedelta(seconds=seconds)
    tasks.write(connection, lease.task_id, now, lease_expires_at=expires, **columns)


def update_fenced(
    connection: Connection,
    image_id: str,
    fence: int,
    *,
    fields: Mapping[str, Any],
    properties: Mapping[str, str | None],
) -> None:
    """Write the image on behalf of the import that holds *fence*, remembering what it set."""
    task_id = locks.require(connection, image_id, fence)
    now = current_time(connection)
    touched = connection.execute(
        select(tables.tasks.c.touched).where(tables.tasks.c.id == task_id)
    ).scalar_one()
    touched = {
        "fields": sorted({*touched["fields"], *fields}),
        "properties": sorted({*touched["properties"], *properties}),
    }
    tasks.write(connection, task_id, now, touched=touched)
    images.write(connection, image_id, now, fields=fields, properties=properties)


def settle_store(connection: Connection, lease: Lease, store: str, *, failed: bool) -> None:
    """Note that the import is done with *store*, well or not."""
    record = images.get(connection, lease.image_id)
    properties = {IMPORTING: _joined(_stores(record, IMPORTING) - {store})}
    if failed:
        properties[FAILED] = _joined(_stores(record, FAILED) | {store})
    images.write(connection, lease.image_id, current_time(connection), fields={}, properties=properties)


def finish(
    connection: Connection,
    lease: Lease,
    *,
    fields: Mapping[str, Any],
    properties: Mapping[str, str | None],
    result: Mapping[str, Any],
) -> None:
    """Set what the import found out, end its task with success and release the lock."""
    locks.require(connection, lease.image_id, lease.fence)
    now = current_time(connection)
    released = {IMPORTING: "", LOCK: None}
    images.write(connection, lease.image_id, now, fields=fields, properties={**properties, **released})
    tasks.close(connection, lease.task_id, now, status="success", message="", result=result)


def fail(
    connection: Connection,
    image_id: str,
    task_id: str,
    fence: int,
    *,
    message: str,
    failed_stores: Sequence[str],
    result: Mapping[str, Any] | None,
    cause: Mapping[str, str | None] | None = None,
    before: ImageRecord | None = None,
) -> None:
    """Put back what the import changed, end its task with failure and release the lock.

    Does nothing when the task has ended, or when somebody took it over, who will then do this. An image that users
    have already is not taken from them: its import ends with the copies that are published. Should somebody have
    removed the task itself, *before* says what the image was.
    """
    current_fence = images.lock_row_if_any(connection, image_id)
    now = current_time(connection)
    task = tasks.lock_row_if_any(connection, task_id)
    if task is None:
        if before is not None and current_fence == fence:
            if before.status in _NEW and images.get(connection, image_id).status == "active":
                _release_active(connection, image_id, now)
                return
            _restore_without_task(connection, before, now, failed_stores)
        locations.hide(connection, tables.image_locations.c.task_id == task_id)
        return
    if task.finished or task.fence != fence:
        return
    if _made_active(connection, task):
        _complete(connection, task, message)
        return
    if locks.holder(connection, image_id) == task_id:
        fields, properties = _undone(connection, image_id, task_id, failed_stores)
        images.write(connection, image_id, now, fields=fields, properties=properties)
    locations.hide(connection, tables.image_locations.c.task_id == task_id)
    tasks.close(connection, task_id, now, status="failure", message=message, result=result, cause=cause)


def take_over(connection: Connection, task: TaskRow) -> TaskRow | None:
    """Make this process the one that settles the dead *task*; None when it is not dead, or no longer.

    Copies that have to go are hidden at once, so that nobody finds one whose bytes are being removed.
    """
    image_fence = images.lock_row_if_any(connection, task.image_id) or 0
    current = tasks.lock_row(connection, task.id)
    now = current_time(connection)
    if not current.is_dead(now):
        return None
    fence = max(image_fence, current.fence) + 1
    if locks.holder(connection, task.image_id) == task.id:
        images.set_fence(connection, task.image_id, fence)
    if not _made_active(connection, task):
        locations.hide(connection, tables.image_locations.c.task_id == task.id)
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
    if _made_active(connection, current):
        _complete(connection, current, current.message)
    else:
        fail(
            connection,
            current.image_id,
            current.id,
            current.fence,
            message=current.message,
            failed_stores=(),
            result=None,
        )


def _made_active(connection: Connection, task: TaskRow) -> bool:
    """Say whether the import had everything checked and gave its image to the users before it died."""
    if locks.holder(connection, task.image_id) != task.id:
        return False
    before = connection.execute(
        select(tables.tasks.c.snapshot).where(tables.tasks.c.id == task.id)
    ).scalar_one()
    return before["fields"]["status"] in _NEW and images.get(connection, task.image_id).status == "active"


def _complete(connection: Connection, task: TaskRow, message: str) -> None:
    """End the import with the copies that it had published; the other stores have failed."""
    images.lock_row(connection, task.image_id)
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
    failed = _stores(record, FAILED) | _stores(record, IMPORTING)
    properties = {IMPORTING: "", FAILED: _joined(failed), LOCK: None}
    images.write(connection, image_id, now, fields={}, properties=properties)


def _undone(
    connection: Connection, image_id: str, task_id: str, failed_stores: Sequence[str]
) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Return the fields and properties that the image gets back when its import has failed."""
    row = connection.execute(
        select(tables.tasks.c.snapshot, tables.tasks.c.touched).where(tables.tasks.c.id == task_id)
    ).one()
    before = row.snapshot["fields"]
    fields = {name: before[name] for name in row.touched["fields"]}
    if before["status"] in _NEW:
        # A staged image goes back to queued as well: the import may have used its data up.
        fields |= {"status": "queued", "size": None, "virtual_size": None}
    failed = _stores(images.get(connection, image_id), FAILED) | set(failed_stores)
    properties = {name: row.snapshot["properties"].get(name) for name in row.touched["properties"]}
    return fields, properties | {IMPORTING: "", FAILED: _joined(failed), LOCK: None}


def _restore_without_task(
    connection: Connection, before: ImageRecord, now: datetime, failed_stores: Sequence[str]
) -> None:
    if before.status in _NEW:
        fields = _snapshot(before)["fields"] | {"status": "queued"}
        images.write(connection, before.id, now, fields=fields, properties={})
    failed = _stores(images.get(connection, before.id), FAILED) | set(failed_stores)
    images.write(
        connection,
        before.id,
        now,
        fields={},
        properties={IMPORTING: "", FAILED: _joined(failed), LOCK: None},
    )


def _snapshot(record: ImageRecord) -> dict[str, Any]:
    fields = {name: getattr(record, name) for name in images.SETTABLE}
    return {"fields": fields, "properties": record.properties}


def _stores(record: ImageRecord, name: str) -> set[str]:
    return set(filter(None, record.properties.get(name, "").split(",")))


def _joined(stores: Iterable[str]) -> str:
    return ",".join(sorted(stores))
