"""Rows of images: their fields, properties and visible locations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from imageport.access.scope import Scope, admits
from imageport.catalog import listing
from imageport.catalog.lifecycle import CLEARED_WHEN_QUEUED, require_image_move
from imageport.catalog.tables import image_locations, image_properties, image_tags, images, tasks
from imageport.errors import Conflict, UsageError
from imageport.text import did_you_mean
from imageport.values import ImageRecord, Location

MIN_PREFIX = 4
_SHOWN_CANDIDATES = 5

_KEPT_BY_CATALOG = frozenset({"id", "fence", "created_at", "updated_at"})
SETTABLE = frozenset({*images.c.keys(), "tags"}) - _KEPT_BY_CATALOG
#: Images read by one statement; a database takes only so many values in one.
_AT_ONCE = 500

_WHAT_TO_DO = {
    "queued": "put its data in staging with 'imageport images stage', or use a method that fetches the data",
    "uploading": "its data is in staging: import it with a pipeline for staged data",
    "importing": "'imageport gc' rolls back imports whose process has died",
    "active": "import into a new image, or copy this one to further stores with a pipeline for copies",
}


def create(connection: Connection, record: ImageRecord, now: datetime) -> None:
    """Insert *record*; the times it lacks are *now*."""
    # Should the id have been used before, an import left over from then must not hold a valid fence.
    fence = connection.execute(
        select(func.coalesce(func.max(tasks.c.fence), 0)).where(tasks.c.image_id == record.id)
    ).scalar_one()
    values = {name: getattr(record, name) for name in SETTABLE - {"tags"}} | {
        "id": record.id,
        "fence": fence,
        "created_at": record.created_at or now,
        "updated_at": record.updated_at or now,
    }
    try:
        with connection.begin_nested():
            connection.execute(insert(images), values)
    except IntegrityError as error:
        raise Conflict(f"there is an image {record.id} already", hint="choose another id") from error
    _set_tags(connection, record.id, record.tags)
    _set_properties(connection, record.id, record.properties)
    for location in record.locations:
        connection.execute(
            insert(image_locations),
            {
                "image_id": record.id,
                "store": location.store,
                "url": location.url,
                "metadata": dict(location.metadata),
                "status": "active",
            },
        )


def get(connection: Connection, image_id: str) -> ImageRecord:
    """Return the image with exactly this id. Raises ``UsageError``."""
    found = _records(connection, _SELECTS_OF_ONE, {"wanted": image_id})
    if not found:
        raise no_image(image_id)
    return found[0]


def uploading_with(connection: Connection, name: str, value: str) -> list[str]:
    """Return the ids of the images that are ``uploading``, and whose property *name* is *value*."""
    rows = connection.execute(
        select(images.c.id)
        .join(image_properties, image_properties.c.image_id == images.c.id)
        .where(
            images.c.status == "uploading",
            image_properties.c.name == name,
            image_properties.c.value == value,
        )
        .order_by(images.c.id)
    )
    return list(rows.scalars())


def count(connection: Connection) -> int:
    """Return how many images there are."""
    return connection.execute(select(func.count()).select_from(images)).scalar_one()


def no_image(image_id: str) -> UsageError:
    """Return the error for an id that no image has."""
    return UsageError(f"no image {image_id}", hint="'imageport images list' shows what there is")


def require_status(record: ImageRecord, allowed: Collection[str], purpose: str) -> None:
    """Make sure that the status of *record* is one of *allowed*. Raises ``Conflict`` naming the *purpose*."""
    if record.status not in allowed:
        raise Conflict(
            f"image {record.id} is {record.status}; {purpose} needs it {' or '.join(sorted(allowed))}",
            hint=_WHAT_TO_DO.get(record.status, "choose another image"),
        )


def require_unprotected(record: ImageRecord) -> None:
    """Raise ``Conflict`` when *record* is protected."""
    if record.protected:
        raise Conflict(
            f"image {record.id} is protected", hint=f"first: imageport images set {record.id} --unprotected"
        )


def find(connection: Connection, name_or_id: str, scope: Scope) -> ImageRecord:
    """Return the one image in *scope* with this id, name or beginning of an id. Raises ``UsageError``."""
    exact = records(connection, [name_or_id])
    if exact and admits(scope, exact[0]):
        return exact[0]
    few = _SHOWN_CANDIDATES + 1
    prefix = name_or_id if len(name_or_id) >= MIN_PREFIX else None
    found = listing.named_so(connection, name_or_id, scope, few)
    if prefix is not None:
        found += listing.beginning_so(connection, prefix, scope, few)
    found = list(dict.fromkeys(found))
    if len(found) == 1:
        return get(connection, found[0])
    if not found:
        names = sorted(listing.similar_names(connection, name_or_id, scope))
        raise UsageError(
            f"no image '{name_or_id}'{did_you_mean(name_or_id, names)}",
            hint="'imageport images list' shows what there is",
        )
    shown = records(connection, found[:_SHOWN_CANDIDATES])
    candidates = ", ".join(f"{record.id} ({record.name})" for record in shown)
    count = listing.count_of(connection, name_or_id, prefix, scope)
    more = f" and {count - len(shown)} more" if count > len(shown) else ""
    raise UsageError(f"'{name_or_id}' matches {count} images: {candidates}{more}", hint="give the id")


def records(connection: Connection, ids: Sequence[str]) -> list[ImageRecord]:
    """Return the images with these *ids*, in their order; those that do not exist are left out."""
    found: dict[str, ImageRecord] = {}
    for start in range(0, len(ids), _AT_ONCE):
        part = list(ids[start : start + _AT_ONCE])
        found |= {record.id: record for record in _records(connection, _SELECTS_OF_MANY, {"wanted": part})}
    return [found[image_id] for image_id in ids if image_id in found]


_Selects = tuple[Select[Any], Select[Any], Select[Any], Select[Any]]


def _selects(wanted: Callable[[ColumnElement[str]], ColumnElement[bool]]) -> _Selects:
    """Return what reads the images whose id is *wanted*: their fields, tags, properties and visible locations."""
    return (
        select(images).where(wanted(images.c.id)),
        select(image_tags).where(wanted(image_tags.c.image_id)).order_by(image_tags.c.tag),
        select(image_properties).where(wanted(image_properties.c.image_id)),
        select(image_locations)
        .where(wanted(image_locations.c.image_id), image_locations.c.status == "active")
        # Stores are written side by side: which of them was first means nothing.
        .order_by(image_locations.c.store, image_locations.c.number),
    )


#: An import reads its record ten times: making the statements anew would take as long as executing them.
_SELECTS_OF_ONE = _selects(lambda column: column == bindparam("wanted"))
_SELECTS_OF_MANY = _selects(lambda column: column.in_(bindparam("wanted", expanding=True)))


def _records(connection: Connection, selects: _Selects, values: Mapping[str, Any]) -> list[ImageRecord]:
    of_images, of_tags, of_properties, of_locations = selects
    tags: dict[str, list[str]] = defaultdict(list)
    for row in connection.execute(of_tags, values):
        tags[row.image_id].append(row.tag)
    properties: dict[str, dict[str, str]] = defaultdict(dict)
    for row in connection.execute(of_properties, values):
        properties[row.image_id][row.name] = row.value
    locations: dict[str, list[Location]] = defaultdict(list)
    for row in connection.execute(of_locations, values):
        locations[row.image_id].append(to_location(row))
    return [
        ImageRecord(
            **{name: value for name, value in row.items() if name != "fence"},
            tags=tuple(tags[row["id"]]),
            properties=properties[row["id"]],
            locations=tuple(locations[row["id"]]),
        )
        for row in connection.execute(of_images, values).mappings()
    ]


def to_location(row: Any) -> Location:
    """Return the value for a row of ``image_locations``."""
    return Location(url=row.url, store=row.store, metadata=row.metadata)


def lock_row(connection: Connection, image_id: str) -> int:
    """Keep others from writing the image until the transaction ends; return its fence."""
    fence = lock_row_if_any(connection, image_id)
    if fence is None:
        raise no_image(image_id)
    return fence


def lock_row_if_any(connection: Connection, image_id: str) -> int | None:
    """Do as ``lock_row``, but return None when there is no such image."""
    return connection.execute(
        select(images.c.fence).where(images.c.id == image_id).with_for_update()
    ).scalar_one_or_none()


def set_fence(connection: Connection, image_id: str, fence: int) -> None:
    """Shut out every import but the one with this *fence*."""
    connection.execute(update(images).where(images.c.id == image_id).values(fence=fence))


def remove(connection: Connection, image_id: str) -> None:
    """Delete the image with its properties."""
    connection.execute(delete(images).where(images.c.id == image_id))


def write(
    connection: Connection,
    image_id: str,
    now: datetime,
    *,
    fields: Mapping[str, Any],
    properties: Mapping[str, str | None],
    brings_formats: bool = False,
) -> None:
    """Set *fields* and *properties* (None removes one); whatever is not named stays.

    Raises ``Conflict`` for a status that the image cannot get; see ``lifecycle``. *brings_formats* is for imports.
    """
    for name in fields:
        if name not in SETTABLE:
            raise UsageError(
                f"'{name}' is not a field of an image that can be set{did_you_mean(name, SETTABLE)}",
                hint=f"these can: {', '.join(sorted(SETTABLE))}",
            )
    values = dict(fields)
    if (status := fields.get("status")) is not None:
        formats = {name: fields.get(name) for name in ("disk_format", "container_format")}
        require_image_move(get(connection, image_id), status, brings_formats=brings_formats, **formats)
        if status == "queued":
            values |= CLEARED_WHEN_QUEUED
    if (tags := values.pop("tags", None)) is not None:
        _set_tags(connection, image_id, tags)
    connection.execute(update(images).where(images.c.id == image_id).values(**values, updated_at=now))
    _set_properties(connection, image_id, properties)


def _set_tags(connection: Connection, image_id: str, tags: Iterable[str]) -> None:
    connection.execute(delete(image_tags).where(image_tags.c.image_id == image_id))
    rows = [{"image_id": image_id, "tag": tag} for tag in dict.fromkeys(tags)]
    if rows:
        connection.execute(insert(image_tags), rows)


def _set_properties(connection: Connection, image_id: str, properties: Mapping[str, str | None]) -> None:
    if properties:
        connection.execute(
            delete(image_properties).where(
                image_properties.c.image_id == image_id, image_properties.c.name.in_(list(properties))
            )
        )
    rows = [
        {"image_id": image_id, "name": name, "value": value}
        for name, value in properties.items()
        if value is not None
    ]
    if rows:
        connection.execute(insert(image_properties), rows)


def snapshot(record: ImageRecord) -> dict[str, Any]:
    """Return what an import may change of *record*, ready for JSON."""
    fields = {name: getattr(record, name) for name in SETTABLE}
    return {"fields": fields, "properties": record.properties}
