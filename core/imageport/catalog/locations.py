"""Rows of locations, each of a copy in a store.

A row is ``pending`` while its import may still take the copy back, and ``active`` once it can be seen. The process that
removes the bytes marks it ``removing`` first and drops it last: until then no other process removes them, and no import
writes there.

A process that was taken over because its lease expired may only be stopped. When it wakes up it may still give a file a
name, until it learns that its lease is lost. So the row stays, for a later removal, until that process is seen to be
gone or the task is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, text, update

from imageport.catalog.images import to_location
from imageport.catalog.lifecycle import UNFINISHED
from imageport.catalog.processes import is_dead, is_gone, this_process
from imageport.catalog.tables import HIDDEN, WRITER, image_locations, tasks
from imageport.errors import Conflict, UsageError
from imageport.text import did_you_mean
from imageport.values import ImageRecord, Location

LocationStatus = Literal["pending", "active"]

#: How long a removal may take until others may try it too; one whose process is seen to be gone ends at once.
REMOVAL_TIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenCopy:
    """A copy that nobody can see and no import takes back: its bytes have to be removed.

    ``task_id`` is the import that wrote it, which may be forgotten by now.
    """

    task_id: str | None
    image_id: str
    location: Location


def put(
    connection: Connection, image_id: str, task_id: str, location: Location, status: LocationStatus
) -> None:
    """Record the copy of an import with *status*. Raises ``Conflict`` when another copy is there, or just removed."""
    values = {"metadata": dict(location.metadata), "status": status, "task_id": task_id}
    at = {"image_id": image_id, "store": location.store, "url": location.url}
    same = and_(*(image_locations.c[name] == value for name, value in at.items()))
    # A pending row that an earlier import left there now describes bytes of this one, hence is taken over.
    mine = or_(
        image_locations.c.status == "pending",
        and_(image_locations.c.status == "active", image_locations.c.task_id == task_id),
    )
    if connection.execute(update(image_locations).where(same, mine).values(values)).rowcount:
        return
    found = connection.execute(select(image_locations.c.status).where(same)).scalar_one_or_none()
    if found is None:
        connection.execute(insert(image_locations), at | values)
    elif found == "removing":
        raise Conflict(
            f"store '{location.store}' is just removing an earlier copy of image {image_id} at {location.url}",
            hint="try again in a moment; if that process was killed, run 'imageport gc' first",
        )
    else:
        raise Conflict(
            f"store '{location.store}' holds a copy of image {image_id} at {location.url} already",
            hint="leave this store out",
        )


def pending(connection: Connection, task_id: str) -> list[Location]:
    """Return the copies that the import has to publish or take back."""
    rows = connection.execute(
        select(image_locations)
        .where(image_locations.c.task_id == task_id, image_locations.c.status != "active")
        .order_by(image_locations.c.number)
    )
    return [to_location(row) for row in rows]


def hidden(connection: Connection, now: datetime, *conditions: ColumnElement[bool]) -> list[HiddenCopy]:
    """Return the hidden copies that meet all *conditions* and that nobody is about to remove."""
    over = or_(tasks.c.id.is_(None), tasks.c.status.not_in(UNFINISHED))
    rows = connection.execute(
        select(image_locations, tasks.c.touched)
        .join(tasks, tasks.c.id == image_locations.c.task_id, isouter=True)
        .where(text(f"image_locations.{HIDDEN}"), over, *conditions)
    )
    # To have them in order, SQLite would read all rows instead of the index of the hidden ones.
    return [
        HiddenCopy(task_id=row.task_id, image_id=row.image_id, location=to_location(row))
        for row in sorted(rows, key=lambda row: row.number)
        if _is_free(row, now) and not _may_wake(row.touched)
    ]


def require_another(record: ImageRecord, store: str) -> None:
    """Make sure that *record* has a copy in *store* and one elsewhere. Raises ``UsageError`` and ``Conflict``."""
    holding = {location.store for location in record.locations}
    if store not in holding:
        raise UsageError(
            f"store '{store}' has no copy of image {record.id}{did_you_mean(store, holding)}",
            hint=f"copies are in: {', '.join(sorted(holding))}",
        )
    if holding == {store}:
        raise Conflict(
            f"store '{store}' has the last copy of image {record.id}",
            hint="copy the image to another store first, or delete the image",
        )


def hide(connection: Connection, condition: ColumnElement[bool]) -> None:
    """Make the copies that can be seen pending again, if they meet the *condition*."""
    connection.execute(
        update(image_locations)
        .where(image_locations.c.status == "active", condition)
        .values(status="pending")
    )


def claim_removal(connection: Connection, task_id: str | None, location: Location, now: datetime) -> bool:
    """Make this process the one that removes the bytes; False unless they are the task's and nobody is at it."""
    row = connection.execute(
        select(image_locations)
        .where(_of(task_id, location), image_locations.c.status != "active")
        .with_for_update()
    ).first()
    if row is None or not _is_free(row, now):
        return False
    connection.execute(
        update(image_locations)
        .where(image_locations.c.number == row.number)
        .values(status="removing", remover=this_process(), removal_expires_at=now + REMOVAL_TIME)
    )
    return True


def release_removal(connection: Connection, task_id: str | None, location: Location) -> None:
    """Let others remove the bytes that this process could not remove."""
    connection.execute(
        update(image_locations)
        .where(_of(task_id, location), image_locations.c.remover == this_process())
        .values(status="pending", remover=None, removal_expires_at=None)
    )


def forget(connection: Connection, task_id: str | None, location: Location) -> None:
    """Remove the row of a hidden copy whose bytes are gone, unless another process removes them just now.

    While the process that wrote them may wake up, the row stays, and is ``pending`` again.
    """
    mine = and_(
        _of(task_id, location),
        image_locations.c.status != "active",
        or_(image_locations.c.remover.is_(None), image_locations.c.remover == this_process()),
    )
    touched = connection.execute(select(tasks.c.touched).where(tasks.c.id == task_id)).scalar_one_or_none()
    if _may_wake(touched):
        kept = {"status": "pending", "remover": None, "removal_expires_at": None}
        connection.execute(update(image_locations).where(mine).values(kept))
    else:
        connection.execute(delete(image_locations).where(mine))


def knows(connection: Connection, image_id: str, location: Location) -> bool:
    """Say whether a copy of the image at *location* is recorded, of this import or another, visible or not."""
    at = {"image_id": image_id, "store": location.store, "url": location.url}
    same = and_(*(image_locations.c[name] == value for name, value in at.items()))
    return connection.execute(select(image_locations.c.number).where(same)).first() is not None


def _may_wake(touched: Mapping[str, Any] | None) -> bool:
    """Say whether the process from which a task was taken over may still write, see ``tasks.touched``."""
    writer = touched.get(WRITER) if touched else None
    return writer is not None and writer != this_process() and not is_gone(writer)


def _of(task_id: str | None, location: Location) -> ColumnElement[bool]:
    return and_(
        image_locations.c.task_id == task_id,
        image_locations.c.store == location.store,
        image_locations.c.url == location.url,
    )


def _is_free(row: Any, now: datetime) -> bool:
    return (
        row.status == "pending"
        or row.remover == this_process()
        or is_dead(row.remover, row.removal_expires_at, now)
    )
