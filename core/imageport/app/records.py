"""Making, changing and deleting image records by hand."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from imageport.access.permissions import Access
from imageport.access.quotas import demand_of_one
from imageport.access.texts import (
    require_known,
    require_not_negative,
    require_property_texts,
    require_text,
)
from imageport.catalog import Catalog, HiddenCopy
from imageport.cleaning import logged
from imageport.errors import Conflict, StoreFailed
from imageport.events import ImageEvent
from imageport.importing.admission import CONTAINER_FORMATS, DISK_FORMATS
from imageport.importing.context_factory import HostContext
from imageport.importing.staging import Staging
from imageport.importing.stores import Stores, remove_all
from imageport.values import ImageRecord

VISIBILITIES = ("private", "shared", "community", "public")

#: A record gets its formats before its data; afterwards they describe bytes that are there.
_FORMATS = frozenset({"disk_format", "container_format"})


def create_record(access: Access, *, properties: Mapping[str, str], **fields: Any) -> ImageRecord:
    """Add a queued image of the caller's with *fields* of ``ImageRecord``, and return it.

    Raises ``UsageError`` for values that are not possible, ``NotAllowed`` for those that the caller may not set, and
    ``OverQuota``.
    """
    _check(fields, properties)
    record = ImageRecord(id=str(uuid.uuid4()), owner=access.caller.owner)
    access.require_fields(record, fields)
    access.require_properties(record, properties)
    record = record.evolve(properties=properties, **fields)
    access.require("add_image", record)
    return access.catalog.create_image(record, demand=demand_of_one(access.site.quotas, record.owner))


def change_record(
    access: Access, record: ImageRecord, *, properties: Mapping[str, str | None], **fields: Any
) -> ImageRecord:
    """Set *fields* and *properties* (None removes one) of *record*, and return the changed record.

    Raises ``NotAllowed``, ``UsageError`` for values that are not possible, ``Conflict`` for formats of an image that
    has data.
    """
    access.require("modify_image", record)
    _check(fields, properties)
    access.require_fields(record, fields)
    access.require_properties(record, properties)
    if (formats := _FORMATS & set(fields)) and record.status != "queued":
        raise Conflict(
            f"{' and '.join(sorted(formats))} of image {record.id} cannot change: it is {record.status}",
            hint="formats are set before the data comes; import into a new image instead",
        )
    return access.catalog.update_image(record.id, properties=properties, **fields)


def delete_record(
    access: Access, record: ImageRecord, stores: Stores, staging: Staging, ctx: HostContext
) -> list[str]:
    """Remove the image, its copies in all stores and its data in staging; return the urls of the copies.

    An import of the image that runs at this moment loses its lock and takes its own copies back. Raises
    ``NotAllowed``, ``Conflict`` for a protected image, ``StoreFailed`` when a copy could not be removed: the image is
    gone then, and ``gc`` tries again.
    """
    access.require("delete_image", record)
    copies = access.catalog.delete_image(record.id)
    deleted = record.evolve(status="deleted")
    ctx.send(ImageEvent(kind="image.delete", image_id=record.id, record=deleted))
    try:
        removed = _remove(copies, f"image {record.id} is deleted", access.catalog, stores, ctx)
    except BaseException:
        with logged("remove the staged data"):
            staging.remove(record.id)
        raise
    staging.remove(record.id)
    return removed


def delete_copy(
    access: Access, record: ImageRecord, store: str, stores: Stores, ctx: HostContext
) -> list[str]:
    """Remove the copy in *store* from the record and the store; return its url.

    Raises ``NotAllowed``, the errors of ``Catalog.hide_copy``, and ``StoreFailed`` when the bytes could not be removed:
    the record no longer has the copy then, and ``gc`` tries again.
    """
    access.require("delete_image_location", record)
    copies = access.catalog.hide_copy(record.id, store)
    kept = tuple(location for location in record.locations if location.store != store)
    changed = record.evolve(locations=kept)
    ctx.send(ImageEvent(kind="image.update", image_id=record.id, record=changed))
    return _remove(copies, f"image {record.id} has no copy in {store} any more", access.catalog, stores, ctx)


def _remove(
    copies: Iterable[HiddenCopy], outcome: str, catalog: Catalog, stores: Stores, ctx: HostContext
) -> list[str]:
    removed, failures = [], []
    for done in remove_all(copies, catalog, stores, ctx):
        url = done.copy.location.url
        if done.error is not None:
            failures.append(f"{url}: {done.error}")
        elif done.removed:
            removed.append(url)
    if failures:
        raise StoreFailed(
            f"{outcome}, but some copies cannot be removed: {'; '.join(failures)}",
            hint="repair the stores, then run 'imageport gc', which removes these copies",
        )
    return removed


def _check(fields: Mapping[str, Any], properties: Mapping[str, str | None]) -> None:
    require_known("disk format", fields.get("disk_format"), DISK_FORMATS)
    require_known("container format", fields.get("container_format"), CONTAINER_FORMATS)
    require_known("visibility", fields.get("visibility"), VISIBILITIES)
    require_text("name", fields.get("name"))
    for name in ("min_disk", "min_ram"):
        require_not_negative(name, fields.get(name))
    for tag in fields.get("tags", ()):
        require_text("tag", tag)
    require_property_texts(properties)
