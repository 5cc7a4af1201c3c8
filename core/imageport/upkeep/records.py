"""Making, changing and deleting image records by hand."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from imageport.catalog import Catalog, HiddenCopy
from imageport.context import Context
from imageport.errors import Conflict, StoreFailed, UsageError
from imageport.importing.admission import CONTAINER_FORMATS, DISK_FORMATS, require_known
from imageport.importing.recovery import remove_copy
from imageport.importing.staging import Staging
from imageport.importing.stores import Stores
from imageport.values import RESERVED_PREFIX, ImageRecord

VISIBILITIES = ("private", "shared", "community", "public")

#: A record gets its formats before its data; afterwards they describe bytes that are there.
_FORMATS = frozenset({"disk_format", "container_format"})


def create_record(
    catalog: Catalog, *, owner: str, properties: Mapping[str, str], **fields: Any
) -> ImageRecord:
    """Add a queued image with *fields* of ``ImageRecord``. Raises ``UsageError`` for values that are not allowed."""
    _check(fields, properties)
    record = ImageRecord(id=str(uuid.uuid4()), owner=owner, properties=properties, **fields)
    return catalog.create_image(record)


def change_record(
    catalog: Catalog, record: ImageRecord, *, properties: Mapping[str, str | None], **fields: Any
) -> ImageRecord:
    """Set *fields* and *properties* (None removes one) of *record*.

    Raises ``UsageError`` for values that are not allowed, ``Conflict`` for formats of an image that has data.
    """
    _check(fields, properties)
    for name, value in properties.items():
        if value is None and name not in record.properties:
            raise UsageError(
                f"image {record.id} has no property '{name}'",
                hint=f"it has: {', '.join(record.properties) or 'none'}",
            )
    if (formats := _FORMATS & set(fields)) and record.status != "queued":
        raise Conflict(
            f"{' and '.join(sorted(formats))} of image {record.id} cannot change: it is {record.status}",
            hint="formats are set before the data comes; import into a new image instead",
        )
    return catalog.update_image(record.id, properties=properties, **fields)


def delete_record(
    image_id: str, catalog: Catalog, stores: Stores, staging: Staging, ctx: Context
) -> list[str]:
    """Remove the image, its copies in all stores and its data in staging; return the urls of the copies.

    An import of the image that runs at this moment loses its lock and takes its own copies back. Raises ``Conflict``
    for a protected image, ``StoreFailed`` when a copy could not be removed: the image is gone then, and ``gc`` tries
    again.
    """
    copies = catalog.delete_image(image_id)
    try:
        return _remove(copies, f"image {image_id} is deleted", catalog, stores, ctx)
    finally:
        staging.remove(image_id)


def delete_copy(image_id: str, store: str, catalog: Catalog, stores: Stores, ctx: Context) -> list[str]:
    """Remove the copy in *store* from the record and the store; return its url.

    Raises what ``Catalog.hide_copy`` raises, and ``StoreFailed`` when the bytes could not be removed: the record no
    longer has the copy then, and ``gc`` tries again.
    """
    copies = catalog.hide_copy(image_id, store)
    return _remove(copies, f"image {image_id} has no copy in {store} any more", catalog, stores, ctx)


def _remove(
    copies: Iterable[HiddenCopy], outcome: str, catalog: Catalog, stores: Stores, ctx: Context
) -> list[str]:
    removed, failures = [], []
    for copy in copies:
        url = copy.location.url
        try:
            if remove_copy(copy.task_id, copy.location, catalog, stores, ctx):
                removed.append(url)
        except Exception as error:  # noqa: BLE001 - whatever a store raises, the other copies have to go
            failures.append(f"{url}: {error}")
    if failures:
        raise StoreFailed(
            f"{outcome}, but some copies cannot be removed: {'; '.join(failures)}",
            hint="repair the stores, then run 'imageport gc', which removes these copies",
        )
    return removed


def _check(fields: Mapping[str, Any], properties: Iterable[str]) -> None:
    require_known("disk format", fields.get("disk_format"), DISK_FORMATS)
    require_known("container format", fields.get("container_format"), CONTAINER_FORMATS)
    require_known("visibility", fields.get("visibility"), VISIBILITIES)
    for name in properties:
        if name.startswith(RESERVED_PREFIX):
            raise UsageError(
                f"property {name} is reserved", hint=f"names beginning {RESERVED_PREFIX} are Imageport's own"
            )
