"""The catalog: the database of images and tasks.

Every method is one transaction. When the database does not answer the commit, the outcome is found out, see
``commits``; a method that cannot find it out raises ``CommitUnknown``. The methods of an import wait for the disk when
it announces a copy, when the image becomes active, and when it ends: what a power failure undoes in between would be
rolled back anyway. Calls that take a :class:`Lease` are fenced: they raise ``LockLost`` and change nothing once the
import does not hold the lock any more.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sqlalchemy import and_

from imageport.access.scope import EVERYTHING, Scope
from imageport.catalog import images, lease, listing, locations, lock, rollback, tables, tasks, usage
from imageport.catalog.engine import Database, current_time
from imageport.catalog.failures import CommitUnknown
from imageport.catalog.lease import Lease, data_is_staged, require_startable
from imageport.catalog.lifecycle import UNFINISHED, require_image_move
from imageport.catalog.listing import ImageFilters, Page, SortKey
from imageport.catalog.locations import HiddenCopy
from imageport.catalog.processes import place_of, this_process
from imageport.catalog.schema import Schema, Upgrade, backup_command
from imageport.catalog.tasks import TaskRow
from imageport.catalog.usage import Demand, Usage
from imageport.values import ImageRecord, Location

__all__ = [
    "Catalog", "CommitUnknown", "HiddenCopy", "Lease", "TaskRow", "Upgrade", "Usage", "data_is_staged",
    "require_startable", "this_process", "upgrade",
]  # fmt: skip

log = logging.getLogger("imageport")

_NOTHING: Mapping[str, Any] = MappingProxyType({})
_NO_TEXTS: Mapping[str, str] = MappingProxyType({})


def upgrade(url: str, advise: Callable[[str], None]) -> Upgrade | None:
    """Upgrade the catalog at *url*; None when it is up to date. Raises as ``Catalog`` does.

    For PostgreSQL, *advise* gets the command that makes a backup.
    """
    database = Database(url)
    try:
        if not database.is_file:
            advise(backup_command(database.engine.url))
        with database.opening():
            return Schema(database).prepare(upgrade=True)
    finally:
        database.close()


class Catalog:
    """The images and tasks kept in the database at *url*; safe to use from several threads."""

    def __init__(self, url: str) -> None:
        """Open ``sqlite:////folder/file`` or ``postgresql+psycopg://...``; make what is missing.

        An SQLite file of an older Imageport is upgraded, after a backup. Raises ``UsageError`` for what is no catalog
        that this Imageport can use, ``Conflict`` when it has to be upgraded while an import uses it.
        """
        self._database = Database(url)
        with self._database.opening():
            done = Schema(self._database).prepare(upgrade=False)
        if done is not None:
            log.warning(
                "the catalog %s is upgraded from revision %s to %s; a copy of it as it was is %s",
                self._database.shown, done.before, done.after, done.backup,
            )  # fmt: skip

    def close(self) -> None:
        """Close the connections to the database."""
        self._database.close()

    # ------------------------------------------------------------------------------------------------- images

    def create_image(self, record: ImageRecord, *, demand: Demand | None = None) -> ImageRecord:
        """Add an image and return it with its times.

        Raises ``Conflict`` when the id is taken, ``OverQuota`` when there is no room for *demand*.
        """
        lock.refuse_setting(record.properties)
        with self._database.writing() as connection:
            usage.require(connection, demand)
            images.create(connection, record, current_time(connection))
            return images.get(connection, record.id)

    def get_image(self, image_id: str) -> ImageRecord:
        """Return the image with exactly this id. Raises ``UsageError``."""
        with self._database.reading() as connection:
            return images.get(connection, image_id)

    def find_image(self, name_or_id: str, *, scope: Scope = EVERYTHING) -> ImageRecord:
        """Return the image with this id, unique name, or unique beginning of an id (at least 4 characters).

        An image that is not in *scope* is as if it were not there. Raises ``UsageError`` that lists some candidates,
        or suggests a name that is near.
        """
        with self._database.reading() as connection:
            return images.find(connection, name_or_id, scope)

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
        with self._database.reading() as connection:
            found = listing.image_ids(
                connection, filters, scopes=scopes, sort=sort, descending=descending, page=page
            )
            return images.records(connection, found)

    def count_images(self) -> int:
        """Return how many images there are."""
        with self._database.reading() as connection:
            return images.count(connection)

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
        with self._database.writing() as connection:
            images.lock_row(connection, image_id)
            images.write(connection, image_id, current_time(connection), fields=fields, properties=properties)
            return images.get(connection, image_id)

    def delete_image(self, image_id: str) -> list[HiddenCopy]:
        """Remove the image and return its copies, which are hidden now, so that the caller removes their bytes.

        An import that writes the image loses its lock and takes its own copies back. Raises ``UsageError`` for an
        unknown image, ``Conflict`` for a protected one.
        """
        of_image = tables.image_locations.c.image_id == image_id
        with self._database.writing() as connection:
            images.lock_row(connection, image_id)
            record = images.get(connection, image_id)
            images.require_unprotected(record)
            require_image_move(record, "deleted")
            locations.hide(connection, of_image)
            images.remove(connection, image_id)
            return locations.hidden(connection, current_time(connection), of_image)

    def hide_copy(self, image_id: str, store: str) -> list[HiddenCopy]:
        """Hide the copy in *store*, and return what the caller then has to remove there.

        Raises ``UsageError`` when there is no such copy, ``Conflict`` for the last copy and for an image that is
        protected, not active or locked by an import.
        """
        of_store = and_(
            tables.image_locations.c.image_id == image_id, tables.image_locations.c.store == store
        )
        with self._database.writing() as connection:
            images.lock_row(connection, image_id)
            now = current_time(connection)
            lock.make_free(connection, image_id, now)
            record = images.get(connection, image_id)
            images.require_status(record, ("active",), "removing a copy")
            images.require_unprotected(record)
            locations.require_another(record, store)
            locations.hide(connection, of_store)
            return locations.hidden(connection, now, of_store)

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
        with self._database.writing() as connection:
            images.lock_row(connection, image_id)
            now = current_time(connection)
            lock.make_free(connection, image_id, now)
            before = images.get(connection, image_id)
            images.require_status(before, of, "putting data in staging")
            usage.require(connection, demand)
            fields = {"status": to, "size": size}
            staged_in = {
                lock.STAGE_HOST: socket.gethostname() if to == "uploading" else None,
                lock.STAGE_DIRECTORY: None if staging is None else place_of(staging),
            }
            images.write(connection, image_id, now, fields=fields, properties=staged_in)
            yield before

    def staged_in(self, staging: Path) -> list[str]:
        """Return the ids of the images that are ``uploading`` and staged in this directory of this host."""
        with self._database.reading() as connection:
            return images.uploading_with(connection, lock.STAGE_DIRECTORY, place_of(staging))

    @contextmanager
    def holding(self, image_id: str) -> Iterator[ImageRecord | None]:
        """Keep everybody from changing the image until the block ends; the block gets its record, if there is one."""
        with self._database.writing() as connection:
            images.lock_row_if_any(connection, image_id)
            found = images.records(connection, [image_id])
            yield found[0] if found else None

    def usage(self, owner: str | None, *, besides: str | None = None) -> Usage:
        """Return how much *owner* has, the image with the id *besides* left out."""
        with self._database.reading() as connection:
            return usage.of_owner(connection, owner, besides=besides)

    def require_room(self, demand: Demand) -> None:
        """Raise ``OverQuota`` unless there is room for *demand* now; it is not reserved."""
        with self._database.reading() as connection:
            usage.compare(connection, demand)

    def is_locked(self, image_id: str) -> bool:
        """Say whether an import holds the lock of the image."""
        with self._database.reading() as connection:
            return lock.holder(connection, image_id) is not None

    # ------------------------------------------------------------------------------------------------ imports

    def begin_import(
        self,
        image_id: str,
        *,
        starts_from: Collection[str],
        request: Mapping[str, Any],
        owner: str,
        targets: Sequence[str],
        lease_seconds: float,
        brings_formats: bool = False,
        brings_data: bool = False,
        demand: Demand | None = None,
    ) -> Lease:
        """Lock the image, make a task and say which stores the image goes to.

        The image becomes ``importing``, unless it is active and only gets further copies. Raises ``Conflict``
        when the image is locked, its status is none of *starts_from*, it lacks a format and the import is not one
        that *brings_formats*, or data is staged for it and the import *brings_data* of its own; ``UsageError`` when
        there is no image. When there is no room for *demand*, the lease has a refusal, and the caller ends the import
        with it.
        """
        return lease.begin(
            self._database,
            image_id,
            starts_from=starts_from,
            request=request,
            owner=owner,
            targets=targets,
            lease_seconds=lease_seconds,
            brings_formats=brings_formats,
            brings_data=brings_data,
            demand=demand,
        )

    def pending_locations(self, task_id: str) -> list[Location]:
        """Return the copies announced by the import that are neither published nor forgotten."""
        with self._database.reading() as connection:
            return locations.pending(connection, task_id)

    # ------------------------------------------------------------------------------------- removal of copies

    def hidden_copies(self) -> list[HiddenCopy]:
        """Return the copies that have to be removed and that no import or process cares for any more."""
        with self._database.reading() as connection:
            return locations.hidden(connection, current_time(connection))

    def claim_removal(self, task_id: str | None, location: Location) -> bool:
        """Make this process the only one that removes the bytes of a copy, and keep imports from writing there.

        False when the copy is not that task's any more, can be seen, or is just being removed by another process.
        To be followed by ``forget`` or ``release_removal``.
        """
        with self._database.writing() as connection:
            return locations.claim_removal(connection, task_id, location, current_time(connection))

    def release_removal(self, task_id: str | None, location: Location) -> None:
        """Give up a claimed removal that did not succeed, so that others can try."""
        with self._database.writing() as connection:
            locations.release_removal(connection, task_id, location)

    def knows(self, image_id: str, location: Location) -> bool:
        """Say whether a copy of the image is recorded at *location*, visible or hidden, of any import."""
        with self._database.reading() as connection:
            return locations.knows(connection, image_id, location)

    def forget(self, task_id: str | None, location: Location) -> None:
        """Drop the record of a hidden copy whose bytes are gone, unless their writer may wake up; see ``locations``."""
        with self._database.writing() as connection:
            locations.forget(connection, task_id, location)

    # ------------------------------------------------------------------------------------------- dead imports

    def dead_import(self, image_id: str) -> TaskRow | None:
        """Take over the import that locks the image, if its lease has run out or its process is gone.

        Who gets the task removes the bytes of its ``pending_locations`` and calls ``recover``; until then the
        image stays locked, and the old process is shut out. None when no dead import holds the lock.
        """
        with self._database.writing() as connection:
            task_id = lock.holder(connection, image_id)
            task = tasks.get_if_any(connection, task_id) if task_id else None
            return rollback.take_over(connection, task) if task else None

    def dead_imports(self) -> list[TaskRow]:
        """Return the unfinished tasks whose lease ran out or whose process is gone; changes nothing."""
        with self._database.reading() as connection:
            now = current_time(connection)
            unfinished = tasks.select_rows(connection, tables.tasks.c.status.in_(UNFINISHED))
        return [task for task in unfinished if task.is_dead(now)]

    def take_over(self, task: TaskRow) -> TaskRow | None:
        """Take over one of ``dead_imports``, see ``dead_import``. None when somebody else was faster."""
        with self._database.writing() as connection:
            return rollback.take_over(connection, task)

    def recover(self, task: TaskRow) -> None:
        """End a dead import like ``fail``; one that lives or that others took over stays as it is.

        If its image was active already it stays so, with the copies published so far, because somebody may use it;
        the task then ends with success, and the stores that were not reached are in the failed list.
        """
        with self._database.writing() as connection:
            rollback.recover(connection, task)

    # -------------------------------------------------------------------------------------------------- tasks

    def get_task(self, task_id: str) -> TaskRow:
        """Return the task with exactly this id. Raises ``UsageError``."""
        with self._database.reading() as connection:
            return tasks.get(connection, task_id)

    def find_task(
        self, prefix: str, *, sees_image: Scope = EVERYTHING, sees_task: Scope = EVERYTHING
    ) -> TaskRow:
        """Return the one task whose id begins with these 4 or more characters. Raises ``UsageError``.

        A task that is not in both scopes is as if it were not there, see ``list_tasks``.
        """
        with self._database.reading() as connection:
            return tasks.find(connection, prefix, sees_image=sees_image, sees_task=sees_task)

    def list_tasks(
        self,
        *,
        image_id: str | None = None,
        status: str | None = None,
        sees_image: Scope = EVERYTHING,
        sees_task: Scope = EVERYTHING,
        limit: int | None = None,
        marker: str | None = None,
    ) -> list[TaskRow]:
        """Return the tasks of this image and with this status, newest first.

        Their images are in the scope *sees_image*, and the tasks, as images of who started them, in *sees_task*. At
        most *limit* tasks, from behind the one with the id *marker*.
        """
        page = Page(limit=limit, marker=marker)
        with self._database.reading() as connection:
            found = listing.task_ids(
                connection,
                image_id=image_id,
                status=status,
                sees_image=sees_image,
                sees_task=sees_task,
                page=page,
            )
            return tasks.rows(connection, found)

    def expired_tasks(self, now: datetime) -> list[tuple[str, str]]:
        """Return id and image of each task that ``remove_expired_tasks`` forgets."""
        with self._database.reading() as connection:
            return tasks.expired(connection, now)

    def request_cancel(self, task_id: str) -> TaskRow:
        """Ask an import to stop when it next renews its lease. Raises ``Conflict`` when it is over."""
        with self._database.writing() as connection:
            return tasks.request_cancel(connection, task_id, current_time(connection))

    def remove_expired_tasks(self, now: datetime) -> int:
        """Forget tasks that ended long ago (``expires_at`` is before *now*) and return how many."""
        with self._database.writing() as connection:
            return tasks.remove_expired(connection, now)
