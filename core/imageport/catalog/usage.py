"""What an owner has, as quotas count it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select

from imageport.catalog.locks import IMPORTING
from imageport.catalog.tables import image_locations, image_properties, images

_UNDER_WAY = ("saving", "uploading", "importing")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What somebody has, under the names of the quotas: numbers of images, and bytes."""

    image_count_total: int
    image_size_total: int
    image_stage_total: int
    image_count_uploading: int


def of_owner(connection: Connection, owner: str | None, *, besides: str | None) -> Usage:
    """Count what *owner* has, the image with the id *besides* left out."""
    theirs = images.c.owner == owner
    if besides is not None:
        theirs = and_(theirs, images.c.id != besides)
    copied_now = exists().where(
        image_properties.c.image_id == images.c.id,
        image_properties.c.name == IMPORTING,
        image_properties.c.value != "",
    )
    under_way = and_(theirs, or_(images.c.status.in_(_UNDER_WAY), copied_now))
    stored = connection.execute(
        select(func.coalesce(func.sum(images.c.size), 0))
        .join(image_locations, image_locations.c.image_id == images.c.id)
        .where(theirs, image_locations.c.status == "active")
    ).scalar_one()
    count_total, _ = _count(connection, theirs)
    count_uploading, stage_total = _count(connection, under_way)
    return Usage(
        image_count_total=count_total,
        image_size_total=int(stored),
        image_stage_total=stage_total,
        image_count_uploading=count_uploading,
    )


def _count(connection: Connection, condition: ColumnElement[bool]) -> tuple[int, int]:
    """Return how many images meet the *condition*, and the sum of their sizes."""
    row = connection.execute(
        select(func.count(), func.coalesce(func.sum(images.c.size), 0)).select_from(images).where(condition)
    ).one()
    return row[0], int(row[1])
