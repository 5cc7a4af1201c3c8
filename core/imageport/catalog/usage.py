"""Count what an owner has, as quotas do, and check the room for more.

Room is asked in the transaction that takes it. Other transactions that ask for the same owner wait for its end, so that
what two of them take at the same moment is seen by the second.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from sqlalchemy import ColumnElement, Connection, and_, func, literal_column, or_, select

from imageport.catalog.lifecycle import UNFINISHED
from imageport.catalog.lock import IMPORTING
from imageport.catalog.tables import VALUE_START, image_locations, image_properties, images, tasks

_UNDER_WAY = ("saving", "uploading", "importing")
_LOCK = 0x696D7175  # any number, as long as every process uses the same one


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What somebody has, under the names of the quotas: numbers of images, and bytes."""

    image_count_total: int
    image_size_total: int
    image_stage_total: int
    image_count_uploading: int


class Demand(Protocol):
    """What somebody wants to have on top of what there is, the image *besides* left out; asked by ``require``."""

    @property
    def owner(self) -> str | None:
        """Whose quotas count."""
        ...

    @property
    def besides(self) -> str | None:
        """The id of the image that the demand is about."""
        ...

    @property
    def quotas(self) -> Collection[str]:
        """The names of the quotas that have a limit."""
        ...

    def compare(self, used: Mapping[str, int]) -> None:
        """Raise ``OverQuota`` when what is *used* of one of the quotas leaves too little."""
        ...


def require(connection: Connection, demand: Demand | None) -> None:
    """Raise ``OverQuota`` unless there is room for *demand*; until the transaction ends, no other one takes it."""
    if demand is None:
        return
    if demand.quotas and connection.dialect.name == "postgresql":
        # Of SQLite, there is one writer at a time.
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK, func.hashtext(demand.owner or ""))))
    compare(connection, demand)


def compare(connection: Connection, demand: Demand) -> None:
    """Raise ``OverQuota`` unless there is room for *demand* now."""
    theirs = _of(demand.owner, demand.besides)
    demand.compare({name: _COUNTERS[name](connection, theirs) for name in demand.quotas})


def of_owner(connection: Connection, owner: str | None, *, besides: str | None) -> Usage:
    """Count what *owner* has, the image with the id *besides* left out."""
    theirs = _of(owner, besides)
    return Usage(**{name: count(connection, theirs) for name, count in _COUNTERS.items()})


def _of(owner: str | None, besides: str | None) -> ColumnElement[bool]:
    theirs = images.c.owner == owner
    return theirs if besides is None else and_(theirs, images.c.id != besides)


def _images(connection: Connection, theirs: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).select_from(images).where(theirs)).scalar_one()


def _stored(connection: Connection, theirs: ColumnElement[bool]) -> int:
    """Return the bytes of all copies; for an image that is being imported, those that it is going to have."""
    reserving = and_(tasks.c.status.in_(UNFINISHED), tasks.c.reserved.is_not(None))
    stored = connection.execute(
        select(func.coalesce(func.sum(images.c.size), 0))
        .join(image_locations, image_locations.c.image_id == images.c.id)
        .where(
            theirs,
            image_locations.c.status == "active",
            images.c.id.not_in(select(tasks.c.image_id).where(reserving)),
        )
    ).scalar_one()
    reserved = connection.execute(
        select(func.coalesce(func.sum(tasks.c.reserved), 0))
        .join(images, images.c.id == tasks.c.image_id)
        .where(theirs, reserving)
    ).scalar_one()
    return int(stored) + int(reserved)


def _staged(connection: Connection, theirs: ColumnElement[bool]) -> int:
    size = func.coalesce(func.sum(images.c.size), 0)
    return int(connection.execute(select(size).where(theirs, _under_way())).scalar_one())


def _uploading(connection: Connection, theirs: ColumnElement[bool]) -> int:
    counted = select(func.count()).select_from(images).where(theirs, _under_way())
    return connection.execute(counted).scalar_one()


def _under_way() -> ColumnElement[bool]:
    copied_now = select(image_properties.c.image_id).where(
        image_properties.c.name == IMPORTING, literal_column(VALUE_START) > ""
    )
    return or_(images.c.status.in_(_UNDER_WAY), images.c.id.in_(copied_now))


_COUNTERS: Mapping[str, Callable[[Connection, ColumnElement[bool]], int]] = MappingProxyType(
    {
        "image_count_total": _images,
        "image_size_total": _stored,
        "image_stage_total": _staged,
        "image_count_uploading": _uploading,
    }
)
