"""The catalog: the database of images and tasks."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from imageport.access.visibility import EVERYTHING, Scope
from imageport.catalog import finding, images, listing, locations, lock, schema, usage
from imageport.catalog.failed_imports import DeadImports
from imageport.catalog.lease import Imports
from imageport.catalog.lifecycle import require_image_move
from imageport.catalog.listing import ImageFilters, Page, SortKey
from imageport.catalog.locations import HiddenCopies, HiddenCopy
from imageport.catalog.processes import place_of
from imageport.catalog.schema import Upgrade
from imageport.catalog.stored_copies import StoredCopies
from imageport.catalog.tasks import Tasks
from imageport.catalog.usage import Demand, Usage
from imageport.values import ImageRecord

log = logging.getLogger("imageport")

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_NO_TEXTS: Mapping[str, str] = MappingProxyType({})

_OF_IMAGE = "image_locations.image_id = :image"
_OF_STORE = f"{_OF_IMAGE} AND image_locations.store = :store"


def upgrade(url: str, advise: Callable[[str], None]) -> Upgrade | None:
    """Upgrade the catalog at *url*; None when it is up to date. Raises as ``Catalog`` does.

    For PostgreSQL, *advise* gets the command that makes a backup.
    """
    database = schema.open_database(url)
    try:
        if not database.is_file:
            advise(schema.backup_command(database))
        return schema.prepare(database, upgrade=True)
    finally:
        database.close()


class Catalog(Imports, HiddenCopies, StoredCopies, DeadImports, Tasks):
    """The images and tasks kept in the database at *url*; safe to use from several threads.

    Every method is one transaction. When the database does not answer the commit, the outcome is found out; a method
    that cannot find it out raises ``CommitUnknown``. A running import writes with its ``Lease``.
    """

    def __init__(self, url: str) -> None:
        """Open ``sqlite:////folder/file`` or ``postgresql+psycopg://...``; make missing folders and tables.

        An SQLite file of an older Imageport is upgraded, after a backup. Raises ``UsageError`` for a database that
        is not a catalog that this Imageport can use, ``Conflict`` when it has to be upgraded while an import uses it.
        """
        super().__init__(schema.open_database(url))
        try:
            done = schema.prepare(self._database, upgrade=False)
        except BaseException:
            self.close()
            raise
        if done is not None:
            log.warning(
                "the catalog %s is upgraded from revision %s to %s; the backup is %s",
                self._database.shown, done.before, done.after, done.backup,
            )  # fmt: skip

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()

    def create_image(self, record: ImageRecord, *, demand: Demand | None = None) -> ImageRecord:
        """Add an image and return it with its times.

        Raises ``Conflict`` when the id is taken, ``OverQuota`` when there is no room for *demand*.
        """
        lock.refuse_setting(record.properties)
        with self._database.writing() as transaction:
            usage.require(transaction, demand)
            images.create(transaction, record, transaction.now())
            return images.get(transaction, record.id)

    def get_image(self, image_id: str) -> ImageRecord:
        """Return the image with exactly this id. Raises ``UsageError``."""
        with self._database.reading() as transaction:
            return images.get(transaction, image_id)

    def find_image(self, name_or_id: str, *, scope: Scope = EVERYTHING) -> ImageRecord:
        """Return the image with this id, unique name, or unique beginning of an id (at least 4 characters).

        An image that is not in *scope* is as if it were not there. Raises ``UsageError`` that lists some candidates,
        or suggests a name that is near.
        """
        with self._database.reading() as transaction:
            return finding.find(transaction, name_or_id, scope)

    def list_images(
        self,
        *,
        name: str | None = None,
        status: str | None = None,
        owner: str | None = None,
        tags: Sequence[str] = (),
        properties: Mapping[str, str] = _NO_TEXTS,
        scopes: Sequence[Scope] = (EVERYTHING,),
        sort: SortKey = "created_at",
        descending: bool = True,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[ImageRecord]:
        """Return the images of which all of this is true and that are in all *scopes*, the newest first.

        At most *limit* images, from behind the one with the id *marker*.
        """
        filters = ImageFilters(name=name, status=status, owner=owner, tags=tags, properties=properties)
        page = Page(limit=limit, marker=marker)
        with self._database.reading() as transaction:
            found = listing.image_ids(
                transaction, filters, scopes=scopes, sort=sort, descending=descending, page=page
            )
            return images.records(transaction, found)

    def count_images(self) -> int:
        """Return how many images there are."""
        with self._database.reading() as transaction:
            return images.count(transaction)

    def update_image(
        self,
        image_id: str,
        *,
        properties: Mapping[str, str | None] = _NOTHING,
        **fields: Any,
    ) -> ImageRecord:
        """Set these fields and properties (None removes one) and leave all others as they are.

        An import writes with ``Lease.update``. Raises ``UsageError`` for an unknown image or field.
        """
        lock.refuse_setting(properties)
        with self._database.writing() as transaction:
            images.lock_row(transaction, image_id)
            images.write(transaction, image_id, transaction.now(), fields=fields, properties=properties)
            return images.get(transaction, image_id)

    def delete_image(self, image_id: str) -> list[HiddenCopy]:
        """Remove the image and return its copies, which are hidden now, so that the caller removes their bytes.

        An import that writes the image loses its lock and takes its own copies back. Raises ``UsageError`` for an
        unknown image, ``Conflict`` for a protected one.
        """
        with self._database.writing() as transaction:
            images.lock_row(transaction, image_id)
            record = images.get(transaction, image_id)
            images.require_unprotected(record)
            require_image_move(record, "deleted")
            locations.hide(transaction, _OF_IMAGE, image=image_id)
            images.remove(transaction, image_id)
            return locations.hidden(transaction, _OF_IMAGE, image=image_id)

    def hide_copy(self, image_id: str, store: str) -> list[HiddenCopy]:
        """Hide the copy in *store*, and return the copies that the caller then has to remove there.

        Raises ``UsageError`` when there is no such copy, ``Conflict`` for the last copy and for an image that is
        protected, not active or locked by an import.
        """
        with self._database.writing() as transaction:
            images.lock_row(transaction, image_id)
            lock.make_free(transaction, image_id, transaction.now())
            record = images.get(transaction, image_id)
            images.require_status(record, ("active",), "removing a copy")
            images.require_unprotected(record)
            locations.require_another(record, store)
            locations.hide(transaction, _OF_STORE, image=image_id, store=store)
            return locations.hidden(transaction, _OF_STORE, image=image_id, store=store)

    @contextmanager
    def changing_status(
        self,
        image_id: str,
        *,
        of: Collection[str],
        to: str,
        staging: Path | None = None,
        size: int | None = None,
        demand: Demand | None = None,
    ) -> Iterator[ImageRecord]:
        """Give the image the status *to* when the block has ended well; until then no import of it can begin.

        An image that becomes ``uploading`` is staged in the directory *staging* of this host, with *size* bytes once
        that is known. The block gets the record as it was. Raises ``Conflict`` when an import holds the image or its
        status is none of *of*, ``UsageError`` for an unknown image.
        """
        with self._database.writing() as transaction:
            images.lock_row(transaction, image_id)
            now = transaction.now()
            lock.make_free(transaction, image_id, now)
            before = images.get(transaction, image_id)
            images.require_status(before, of, "putting data in staging")
            usage.require(transaction, demand)
            fields = {"status": to, "size": size}
            staged_in = {
                lock.STAGE_HOST: socket.gethostname() if to == "uploading" else None,
                lock.STAGE_DIRECTORY: None if staging is None else place_of(staging),
            }
            images.write(transaction, image_id, now, fields=fields, properties=staged_in)
            yield before

    def staged_in(self, staging: Path) -> list[str]:
        """Return the ids of the images that are ``uploading`` and staged in this directory of this host."""
        with self._database.reading() as transaction:
            return images.uploading_with(transaction, lock.STAGE_DIRECTORY, place_of(staging))

    @contextmanager
    def holding(self, image_id: str) -> Iterator[ImageRecord | None]:
        """Keep other processes from changing the image until the block ends, which gets its record, if there is one."""
        with self._database.writing() as transaction:
            images.lock_row_if_any(transaction, image_id)
            found = images.records(transaction, [image_id])
            yield found[0] if found else None

    def usage(self, owner: str | None, *, besides: str | None = None) -> Usage:
        """Return how much *owner* has, the image with the id *besides* left out."""
        with self._database.reading() as transaction:
            return usage.of_owner(transaction, owner, besides=besides)

    def require_room(self, demand: Demand) -> None:
        """Raise ``OverQuota`` unless there is room for *demand* now; it is not reserved."""
        with self._database.reading() as transaction:
            usage.compare(transaction, demand)

    def is_locked(self, image_id: str) -> bool:
        """Return whether an import holds the lock of the image."""
        with self._database.reading() as transaction:
            return lock.holder(transaction, image_id) is not None
