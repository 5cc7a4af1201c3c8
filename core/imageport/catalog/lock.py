"""The lock of an image, and the other properties by which an import marks it.

The lock is the property ``os_glance_import_task``, whose value is the task that holds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import cast

from imageport.catalog import images, tasks
from imageport.catalog.database import Transaction
from imageport.errors import Conflict, UsageError
from imageport.values import ImageRecord

LOCK = "os_glance_import_task"
#: The stores that an import has still to publish.
IMPORTING = "os_glance_importing_to_stores"
#: The stores that lack the image because their part of an import failed.
FAILED = "os_glance_failed_import"
#: The host whose staging directory has the data of an image.
STAGE_HOST = "os_glance_stage_host"
#: That directory, so that no other machine or site takes the data for lost.
STAGE_DIRECTORY = "os_glance_stage_directory"


def holder(transaction: Transaction, image_id: str) -> str | None:
    """Return the id of the task that holds the lock of the image."""
    found = transaction.value(
        "SELECT value FROM image_properties WHERE image_id = :image AND name = :lock",
        image=image_id,
        lock=LOCK,
    )
    return cast("str | None", found)


def make_free(transaction: Transaction, image_id: str, now: datetime) -> None:
    """Make sure that the image can be locked. Raises ``Conflict`` naming who holds the lock."""
    task_id = holder(transaction, image_id)
    if task_id is None:
        return
    task = tasks.get_if_any(transaction, task_id)
    if task is None or task.finished:
        # Only a change by hand can leave such a lock; no process would ever release it.
        importing = images.get(transaction, image_id).status == "importing"
        fields = {"status": "queued"} if importing else {}
        images.write(transaction, image_id, now, fields=fields, properties={LOCK: None, IMPORTING: ""})
        return
    age = f"{(now - task.created_at).total_seconds():.0f} s"
    if task.is_dead(now):
        raise Conflict(
            f"image {image_id} is locked by task {task.id}, started {age} ago, whose {task.process} has died",
            hint="run the import again: it rolls the dead one back first. 'imageport gc' does the same",
        )
    raise Conflict(
        f"image {image_id} is locked by task {task.id}, started {age} ago by {task.process}",
        hint=f"wait for it to end, or stop it with: imageport tasks cancel {task.id}",
    )


def refuse_setting(properties: Mapping[str, str | None]) -> None:
    """Refuse to set or remove the lock by hand. Raises ``UsageError``."""
    if LOCK in properties:
        raise UsageError(
            f"property '{LOCK}' is the lock of the image",
            hint="leave it out; it is set and removed by imports alone",
        )


def stores_in(record: ImageRecord, name: str) -> set[str]:
    """Return the stores in the list called *name*, ``IMPORTING`` or ``FAILED``."""
    return set(filter(None, record.properties.get(name, "").split(",")))


def joined(stores: Iterable[str]) -> str:
    """Return the text of a list of stores: sorted, so that it does not depend on which was first."""
    return ",".join(sorted(stores))
