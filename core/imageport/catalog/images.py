"""Rows of images: their fields, properties and visible locations."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields as fields_of
from datetime import datetime
from typing import Any, cast

from imageport.catalog.database import Row, Transaction
from imageport.catalog.lifecycle import CLEARED_WHEN_QUEUED, require_image_move
from imageport.errors import Conflict, UsageError
from imageport.text import did_you_mean
from imageport.values import ImageRecord, Location

_FIELDS = [field.name for field in fields_of(ImageRecord)]
_COLUMNS = [name for name in _FIELDS if name not in {"tags", "properties", "locations"}]
_WRITTEN = [name for name in _COLUMNS if name not in {"id", "created_at", "updated_at"}]
SETTABLE = frozenset({*_WRITTEN, "tags"})
#: Images read by one statement; a database takes only so many values in one.
_AT_ONCE = 500

_WHAT_TO_DO = {
    "queued": "put its data in staging with 'imageport images stage', or use a method that fetches the data",
    "uploading": "its data is in staging: import it with a pipeline for staged data",
    "importing": "'imageport gc' rolls back imports whose process has died",
    "active": "import into a new image, or copy this one to further stores with a pipeline for copies",
}


def create(transaction: Transaction, record: ImageRecord, now: datetime) -> None:
    """Insert *record*; the times it lacks are *now*."""
    # Should the id have been used before, an import left over from then must not hold a valid fence.
    fence = transaction.value(
        "SELECT coalesce(max(fence), 0) FROM tasks WHERE image_id = :image", image=record.id
    )
    row = {name: getattr(record, name) for name in _COLUMNS} | {
        "fence": fence,
        "created_at": record.created_at or now,
        "updated_at": record.updated_at or now,
    }
    if not transaction.insert("images", row, unless_there=True):
        raise Conflict(f"there is already an image {record.id}", hint="choose another id")
    _set_tags(transaction, record.id, record.tags)
    _set_properties(transaction, record.id, record.properties)
    for location in record.locations:
        row = {"image_id": record.id, "store": location.store, "url": location.url}
        transaction.insert("image_locations", row | {"metadata": location.metadata, "status": "active"})


def get(transaction: Transaction, image_id: str) -> ImageRecord:
    """Return the image with exactly this id. Raises ``UsageError``."""
    found = _records(transaction, [image_id])
    if not found:
        raise no_image(image_id)
    return found[0]


def uploading_with(transaction: Transaction, name: str, value: str) -> list[str]:
    """Return the ids of the images that are ``uploading``, and whose property *name* is *value*."""
    return transaction.column(
        "SELECT images.id FROM images JOIN image_properties ON image_properties.image_id = images.id"
        " WHERE images.status = 'uploading' AND image_properties.name = :name AND image_properties.value = :value"
        " ORDER BY images.id",
        name=name, value=value,
    )  # fmt: skip


def count(transaction: Transaction) -> int:
    """Return how many images there are."""
    return cast("int", transaction.value("SELECT count(*) FROM images"))


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


def records(transaction: Transaction, ids: Sequence[str]) -> list[ImageRecord]:
    """Return the images with these *ids*, in their order; those that do not exist are left out."""
    found: dict[str, ImageRecord] = {}
    for start in range(0, len(ids), _AT_ONCE):
        found |= {record.id: record for record in _records(transaction, ids[start : start + _AT_ONCE])}
    return [found[image_id] for image_id in ids if image_id in found]


def _records(transaction: Transaction, ids: Sequence[str]) -> list[ImageRecord]:
    ids = list(ids)
    tags: dict[str, list[str]] = defaultdict(list)
    for row in transaction.rows(
        "SELECT image_id, tag FROM image_tags WHERE image_id IN :ids ORDER BY tag", ids=ids
    ):
        tags[row["image_id"]].append(row["tag"])
    properties: dict[str, dict[str, str]] = defaultdict(dict)
    for row in transaction.rows(
        "SELECT image_id, name, value FROM image_properties WHERE image_id IN :ids", ids=ids
    ):
        properties[row["image_id"]][row["name"]] = row["value"]
    locations: dict[str, list[Location]] = defaultdict(list)
    # Stores are written side by side: which of them was first means nothing.
    for row in transaction.rows(
        "SELECT image_id, store, url, metadata FROM image_locations"
        " WHERE image_id IN :ids AND status = 'active' ORDER BY store, number",
        ids=ids,
    ):
        locations[row["image_id"]].append(to_location(row))
    return [
        ImageRecord(
            **row,
            tags=tuple(tags[row["id"]]),
            properties=properties[row["id"]],
            locations=tuple(locations[row["id"]]),
        )
        for row in transaction.rows(f"SELECT {', '.join(_COLUMNS)} FROM images WHERE id IN :ids", ids=ids)
    ]


def to_location(row: Row) -> Location:
    """Return the value for a row of ``image_locations``."""
    return Location(url=row["url"], store=row["store"], metadata=row["metadata"])


def lock_row(transaction: Transaction, image_id: str) -> int:
    """Keep others from writing the image until the transaction ends; return its fence."""
    fence = lock_row_if_any(transaction, image_id)
    if fence is None:
        raise no_image(image_id)
    return fence


def lock_row_if_any(transaction: Transaction, image_id: str) -> int | None:
    """Do as ``lock_row``, but return None when there is no such image."""
    fence = transaction.value("SELECT fence FROM images WHERE id = :image FOR UPDATE", image=image_id)
    return cast("int | None", fence)


def set_fence(transaction: Transaction, image_id: str, fence: int) -> None:
    """Shut out every import but the one with this *fence*."""
    transaction.update("images", {"fence": fence}, "id = :image", image=image_id)


def remove(transaction: Transaction, image_id: str) -> None:
    """Delete the image with its properties."""
    transaction.change("DELETE FROM images WHERE id = :image", image=image_id)


def write(
    transaction: Transaction,
    image_id: str,
    now: datetime,
    *,
    fields: Mapping[str, Any],
    properties: Mapping[str, str | None],
    brings_formats: bool = False,
) -> None:
    """Set *fields* and *properties* (None removes one); all others stay.

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
        require_image_move(get(transaction, image_id), status, brings_formats=brings_formats, **formats)
        if status == "queued":
            values |= CLEARED_WHEN_QUEUED
    if (tags := values.pop("tags", None)) is not None:
        _set_tags(transaction, image_id, tags)
    transaction.update("images", {**values, "updated_at": now}, "id = :image", image=image_id)
    _set_properties(transaction, image_id, properties)


def _set_tags(transaction: Transaction, image_id: str, tags: Iterable[str]) -> None:
    transaction.change("DELETE FROM image_tags WHERE image_id = :image", image=image_id)
    for tag in dict.fromkeys(tags):
        transaction.insert("image_tags", {"image_id": image_id, "tag": tag})


def _set_properties(transaction: Transaction, image_id: str, properties: Mapping[str, str | None]) -> None:
    if properties:
        transaction.change(
            "DELETE FROM image_properties WHERE image_id = :image AND name IN :names",
            image=image_id, names=list(properties),
        )  # fmt: skip
    for name, value in properties.items():
        if value is not None:
            transaction.insert("image_properties", {"image_id": image_id, "name": name, "value": value})


def snapshot(record: ImageRecord) -> dict[str, Any]:
    """Return the fields of *record* that an import may change, ready for JSON."""
    fields = {name: getattr(record, name) for name in SETTABLE}
    return {"fields": fields, "properties": record.properties}
