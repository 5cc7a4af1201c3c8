"""Rows of locations: pending while an import may still take the copy back, active once it can be seen."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, or_, select, update

from imageport.catalog.images import to_location
from imageport.catalog.tables import image_locations
from imageport.errors import Conflict
from imageport.values import Location

LocationStatus = Literal["pending", "active"]


def put(
    connection: Connection, image_id: str, task_id: str, location: Location, status: LocationStatus
) -> None:
    """Record the copy of an import with *status*, whatever was recorded of it before."""
    values = {"metadata": dict(location.metadata), "status": status, "task_id": task_id}
    at = {"image_id": image_id, "store": location.store, "url": location.url}
    same = and_(*(image_locations.c[name] == value for name, value in at.items()))
    # A pending row that an earlier import left there now describes bytes of this one, hence is taken over.
    mine = or_(image_locations.c.task_id == task_id, image_locations.c.status == "pending")
    if connection.execute(select(image_locations.c.number).where(same)).first() is None:
        connection.execute(insert(image_locations), at | values)
    elif not connection.execute(update(image_locations).where(same, mine).values(values)).rowcount:
        raise Conflict(
            f"store '{location.store}' holds a copy of image {image_id} at {location.url} already",
            hint="leave this store out",
        )


def forget(connection: Connection, task_id: str, location: Location) -> None:
    """Remove the row of a copy whose bytes are gone."""
    connection.execute(
        delete(image_locations).where(
            _pending(task_id),
            image_locations.c.store == location.store,
            image_locations.c.url == location.url,
        )
    )


def pending(connection: Connection, task_id: str) -> list[Location]:
    """Return the copies that the import has to publish or take back."""
    rows = connection.execute(
        select(image_locations).where(_pending(task_id)).order_by(image_locations.c.number)
    )
    return [to_location(row) for row in rows]


def hide(connection: Connection, task_id: str) -> None:
    """Make every copy of the import pending again."""
    connection.execute(
        update(image_locations).where(image_locations.c.task_id == task_id).values(status="pending")
    )


def remove_visible(connection: Connection, image_id: str) -> None:
    """Remove the rows of the copies that can be seen."""
    connection.execute(
        delete(image_locations).where(
            image_locations.c.image_id == image_id, image_locations.c.status == "active"
        )
    )


def _pending(task_id: str) -> ColumnElement[bool]:
    return and_(image_locations.c.task_id == task_id, image_locations.c.status == "pending")
