"""Change image and task when an import begins and goes on.

Each function is called within one transaction, and locks the row of the image before that of the task.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, insert, select

from imageport.catalog import images, locks, tables, tasks
from imageport.catalog.engine import current_time
from imageport.catalog.lifecycle import require_image_move
from imageport.catalog.locks import IMPORTING, LOCK, STAGE_DIRECTORY, STAGE_HOST, Lease
from imageport.catalog.processes import this_process
from imageport.catalog.store_lists import FAILED, joined, stores_in
from imageport.errors import Conflict, LockLost
from imageport.values import ImageRecord


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
    brings_data: bool,
) -> Lease:
    """Lock the image for a new task and say which stores it is going to. Raises ``Conflict``."""
    fence = images.lock_row(connection, image_id) + 1
    now = current_time(connection)
    locks.make_free(connection, image_id, now)
    before = images.get(connection, image_id)
    require_startable(before, starts_from, brings_formats=brings_formats, brings_data=brings_data)
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
            "snapshot": images.snapshot(before),
            "touched": {"fields": [], "properties": []},
            "created_at": now,
            "updated_at": now,
            "lease_expires_at": now + timedelta(seconds=lease_seconds),
        },
    )
    images.set_fence(connection, image_id, fence)
    importing = stores_in(before, IMPORTING) | set(targets)
    failed = stores_in(before, FAILED) - set(targets)
    images.write(
        connection,
        image_id,
        now,
        fields={} if before.status == "active" else {"status": "importing"},
        properties={
            LOCK: task_id,
            IMPORTING: joined(importing),
            FAILED: joined(failed),
            STAGE_HOST: None,
            STAGE_DIRECTORY: None,
        },
        brings_formats=brings_formats,
    )
    return Lease(task_id=task_id, image_id=image_id, fence=fence, seconds=lease_seconds, before=before)


def require_startable(
    record: ImageRecord, starts_from: Collection[str], *, brings_formats: bool, brings_data: bool
) -> None:
    """Raise ``Conflict`` unless an import may begin with *record*, as far as status, formats and staged data go.

    With *brings_data* the import has a source of its own, and data in staging would be lost.
    """
    images.require_status(record, starts_from, "this import")
    if record.status != "active":
        require_image_move(record, "importing", brings_formats=brings_formats)
    # The size is known once all data has come.
    if brings_data and STAGE_HOST in record.properties and record.size is not None:
        raise data_is_staged(record.id)


def data_is_staged(image_id: str) -> Conflict:
    """Return the error of an import that has a source of its own, while data is in staging."""
    return Conflict(
        f"data is staged for image {image_id}, and another source is given",
        hint="leave the source out to import what is staged, or import into a new image",
    )


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
