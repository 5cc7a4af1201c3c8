"""The lock of an image, and the fence that keeps out an import which lost it.

The lock is the property ``os_glance_import_task``, whose value is the task that holds it. Every time it is
taken, or a dead import is taken over, the ``fence`` of the image grows. An import writes only while the fence
is still its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from imageport.catalog import images, tasks
from imageport.catalog.tables import image_properties
from imageport.errors import Conflict, LockLost, OverQuota, UsageError
from imageport.values import ImageRecord

LOCK = "os_glance_import_task"
#: The stores that an import has still to publish.
IMPORTING = "os_glance_importing_to_stores"
#: The host whose staging directory has the data of an image.
STAGE_HOST = "os_glance_stage_host"
#: That directory, so that no other machine or site takes the data for lost.
STAGE_DIRECTORY = "os_glance_stage_directory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What an import holds while it writes an image.

    ``fence`` grows with each lock of the image; ``before`` is the record as it was when the lease was taken.
    A lease that is not renewed within ``seconds`` stays good until somebody takes it over. With a ``refusal``,
    the import has to end at once: there was no room for it.
    """

    task_id: str
    image_id: str
    fence: int
    seconds: float
    before: ImageRecord
    refusal: OverQuota | None = None


def holder(connection: Connection, image_id: str) -> str | None:
    """Return the id of the task that holds the lock of the image."""
    return connection.execute(
        select(image_properties.c.value).where(
            image_properties.c.image_id == image_id, image_properties.c.name == LOCK
        )
    ).scalar_one_or_none()


def require(connection: Connection, image_id: str, fence: int) -> str:
    """Lock the row of the image for an import with this *fence*; return its task. Raises ``LockLost``."""
    current = images.lock_row_if_any(connection, image_id)
    task_id = holder(connection, image_id)
    if current == fence and task_id is not None:
        return task_id
    if current is None:
        cause = "the image was deleted"
    elif task_id is None:
        cause = "the import was given up for dead and rolled back"
    else:
        cause = f"task {task_id} took it over"
    raise LockLost(
        f"the import does not hold the lock of image {image_id} any more: {cause}",
        hint="look at 'imageport tasks list'; import again if the image still needs it",
    )


def make_free(connection: Connection, image_id: str, now: datetime) -> None:
    """Make sure that the image can be locked. Raises ``Conflict`` naming who holds the lock."""
    task_id = holder(connection, image_id)
    if task_id is None:
        return
    task = tasks.get_if_any(connection, task_id)
    if task is None or task.finished:
        # Only a hand in the database can leave such a lock; nobody would ever release it.
        importing = images.get(connection, image_id).status == "importing"
        fields = {"status": "queued"} if importing else {}
        images.write(connection, image_id, now, fields=fields, properties={LOCK: None, IMPORTING: ""})
        return
    age = f"{(now - task.created_at).total_seconds():.0f} s"
    if task.is_dead(now):
        raise Conflict(
            f"image {image_id} is locked by task {task.id}, started {age} ago, whose {task.process} has died",
            hint="run the import again: it rolls the dead one back first. 'imageport gc' does so too",
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
