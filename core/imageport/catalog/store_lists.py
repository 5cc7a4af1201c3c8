"""The two lists of stores on the record of an image: those it is being written to, and those that failed."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from imageport.catalog import images
from imageport.catalog.engine import current_time
from imageport.catalog.locks import IMPORTING, Lease
from imageport.values import ImageRecord

FAILED = "os_glance_failed_import"


def stores_in(record: ImageRecord, name: str) -> set[str]:
    """Return the stores in the list called *name*."""
    return set(filter(None, record.properties.get(name, "").split(",")))


def joined(stores: Iterable[str]) -> str:
    """Return the text of a list: sorted, so that it does not depend on who was first."""
    return ",".join(sorted(stores))


def settle_store(connection: Connection, lease: Lease, store: str, *, failed: bool) -> None:
    """Note that the import is done with *store*, well or not."""
    record = images.get(connection, lease.image_id)
    properties = {IMPORTING: joined(stores_in(record, IMPORTING) - {store})}
    if failed:
        properties[FAILED] = joined(stores_in(record, FAILED) | {store})
    images.write(connection, lease.image_id, current_time(connection), fields={}, properties=properties)
