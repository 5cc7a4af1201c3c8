"""The lease of an import: the right to write one image, which every statement of the import proves anew.

The image carries a number, its fence, that grows whenever it is locked or a dead import is taken over. A lease knows
the number of its import. Each of its methods is one transaction that first locks the row of the image and compares the
two, so an import that was taken over changes nothing, whenever it wakes up.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from imageport.catalog import failed_imports, images, locations, lock, tasks, usage
from imageport.catalog.database import CatalogPart, Database, Transaction
from imageport.catalog.lifecycle import require_image_move
from imageport.catalog.lock import FAILED, IMPORTING, LOCK, STAGE_DIRECTORY, STAGE_HOST, joined, stores_in
from imageport.catalog.processes import this_process
from imageport.catalog.usage import Demand
from imageport.errors import Conflict, LockLost, OverQuota
from imageport.values import ImageRecord, Location

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right of one import to write its image. Methods raise ``LockLost``, and change nothing, once it is lost.

    ``before`` is the record as it was when the lease was taken. A lease that is not renewed within ``seconds`` stays
    good until another process takes it over. With a ``refusal``, the import has to end at once: there was no room.
    """

    task_id: str
    image_id: str
    fence: int
    seconds: float
    before: ImageRecord
    refusal: OverQuota | None = None
    database: Database = field(repr=False, compare=False)

    def start(self) -> None:
        """Make the task of the import ``processing``."""
        with self._holding(durable=False) as (transaction, now):
            tasks.write(transaction, self.task_id, now, status="processing")

    def renew(self, progress: Mapping[str, Any]) -> bool:
        """Prolong the lease from now on and record the progress; return whether the import is to stop."""
        with self._holding(durable=False) as (transaction, now):
            self._prolong(transaction, now, progress=progress)
            return tasks.get(transaction, self.task_id).cancel_requested

    def require(self) -> None:
        """Prolong the lease from now on."""
        with self._holding(durable=False) as (transaction, now):
            self._prolong(transaction, now)

    def reserve(self, stored: int, demand: Demand) -> None:
        """Reserve *stored* bytes in stores for all copies of the image, until the import ends.

        Raises ``OverQuota`` when there is no room for *demand*.
        """
        with self._holding(durable=False) as (transaction, now):
            usage.require(transaction, demand)
            tasks.write(transaction, self.task_id, now, reserved=stored)

    def announce(self, location: Location) -> None:
        """Record where a copy is going to be, before its first byte is written.

        Raises ``Conflict`` when a visible copy is there or an earlier one is just being removed.
        """
        with self._holding() as (transaction, _):
            locations.put(transaction, self.image_id, self.task_id, location, "pending")

    def publish(self, location: Location) -> None:
        """Show the copy in the record of the image."""
        with self._holding(durable=False) as (transaction, now):
            locations.put(transaction, self.image_id, self.task_id, location, "active")
            self._settle(transaction, now, location.store, failed=False)

    def store_failed(self, store: str) -> None:
        """Move *store* from the importing list to the failed list."""
        with self._holding(durable=False) as (transaction, now):
            self._settle(transaction, now, store, failed=True)

    def update(self, *, properties: Mapping[str, str | None] = _NOTHING, **fields: Any) -> ImageRecord:
        """Set these fields and properties (None removes one); they are put back should the import fail.

        Raises ``UsageError`` for an unknown field.
        """
        lock.refuse_setting(properties)
        with self._holding(durable="status" in fields) as (transaction, now):
            touched = transaction.value("SELECT touched FROM tasks WHERE id = :task", task=self.task_id)
            if touched is None:
                raise tasks.removed(self.task_id)
            touched["fields"] = sorted({*touched["fields"], *fields})
            touched["properties"] = sorted({*touched["properties"], *properties})
            tasks.write(transaction, self.task_id, now, touched=touched)
            images.write(transaction, self.image_id, now, fields=fields, properties=properties)
            return images.get(transaction, self.image_id)

    def unpublish(self) -> bool:
        """Hide all copies of this import again, before their bytes are removed; False when that is not possible.

        That is so once this import has made the image active, be it in a transaction whose answer was lost: users have
        the image.
        """
        with self._holding() as (transaction, _):
            if failed_imports.is_in_use(transaction, self.image_id, self.before.status):
                return False
            locations.hide(transaction, "task_id = :task", task=self.task_id)
            return True

    def finish(
        self,
        *,
        fields: Mapping[str, Any] = _NOTHING,
        properties: Mapping[str, str | None] = _NOTHING,
        result: Mapping[str, Any],
    ) -> ImageRecord:
        """End the import with success: set fields and properties, release the lock."""
        lock.refuse_setting(properties)
        with self._holding() as (transaction, now):
            released = {**properties, IMPORTING: "", LOCK: None}
            images.write(transaction, self.image_id, now, fields=fields, properties=released)
            tasks.close(transaction, self.task_id, now, status="success", message="", result=result)
            return images.get(transaction, self.image_id)

    def fail(
        self,
        *,
        message: str,
        failed_stores: Sequence[str] = (),
        cause: Mapping[str, str | None] | None = None,
    ) -> ImageRecord:
        """End the import with failure: undo its changes and release the lock.

        A new image becomes queued again; changes of a user meanwhile stay. A second call changes nothing,
        nor does one after the import was taken over or has ended well: it raises no ``LockLost``. Returns the record as
        it is then, or the one from before with status ``deleted`` when the image is gone.
        """
        with self.database.writing() as transaction:
            failed_imports.fail(
                transaction, self.before, self.task_id, self.fence,
                message=message, failed_stores=failed_stores, cause=cause,
            )  # fmt: skip
            found = images.records(transaction, [self.image_id])
        return found[0] if found else self.before.evolve(status="deleted")

    @contextmanager
    def _holding(self, *, durable: bool = True) -> Iterator[tuple[Transaction, datetime]]:
        """Give a transaction, and its time, in which this import holds the lock. Raises ``LockLost``."""
        with self.database.writing(durable=durable) as transaction:
            fence = images.lock_row_if_any(transaction, self.image_id)
            holder = lock.holder(transaction, self.image_id)
            if fence is None:
                cause = "the image was deleted"
            elif holder is None:
                cause = "its lease expired, and another process rolled it back"
            elif fence != self.fence:
                cause = f"task {holder} took it over"
            else:
                yield transaction, transaction.now()
                return
            raise LockLost(
                f"the import does not hold the lock of image {self.image_id} any more: {cause}",
                hint="look at 'imageport tasks list'; import again if the image still needs it",
            )

    def _prolong(self, transaction: Transaction, now: datetime, **columns: Any) -> None:
        expires = now + timedelta(seconds=self.seconds)
        tasks.write(transaction, self.task_id, now, lease_expires_at=expires, **columns)

    def _settle(self, transaction: Transaction, now: datetime, store: str, *, failed: bool) -> None:
        """Record that the import is done with *store*."""
        record = images.get(transaction, self.image_id)
        properties = {IMPORTING: joined(stores_in(record, IMPORTING) - {store})}
        if failed:
            properties[FAILED] = joined(stores_in(record, FAILED) | {store})
        images.write(transaction, self.image_id, now, fields={}, properties=properties)


def _new_task(lease: Lease, request: Mapping[str, Any], owner: str, now: datetime) -> dict[str, Any]:
    return {
        "id": lease.task_id,
        "image_id": lease.image_id,
        "type": "import",
        "status": "pending",
        "message": "",
        "owner": owner,
        "input": request,
        "progress": {},
        "holder": this_process(),
        "attempt": 1,
        "fence": lease.fence,
        "cancel_requested": False,
        "snapshot": images.snapshot(lease.before),
        "touched": {"fields": [], "properties": []},
        "created_at": now,
        "updated_at": now,
        "lease_expires_at": now + timedelta(seconds=lease.seconds),
    }


def require_startable(
    record: ImageRecord, starts_from: Collection[str], *, brings_formats: bool, brings_data: bool
) -> None:
    """Raise ``Conflict`` unless an import may begin with *record*, as far as status, formats and staged data go.

    With *brings_data* the import has a source, and data in staging would be lost.
    """
    images.require_status(record, starts_from, "this import")
    if record.status != "active":
        require_image_move(record, "importing", brings_formats=brings_formats)
    # The size is known once all data has come.
    if brings_data and STAGE_HOST in record.properties and record.size is not None:
        raise data_is_staged(record.id)


def data_is_staged(image_id: str) -> Conflict:
    """Return the error of an import that has another source, while data is in staging."""
    return Conflict(
        f"data is staged for image {image_id}, and another source is given",
        hint="leave the source out to import the staged data, or import into a new image",
    )


class Imports(CatalogPart):
    """Begins imports."""

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
        """Lock the image, make a task and record to which stores the image goes.

        The image becomes ``importing``, unless it is active and only gets further copies. Raises ``Conflict``
        when the image is locked, its status is none of *starts_from*, it lacks a format and the import is not one
        that *brings_formats*, or data is staged for it and the import *brings_data* from a source; ``UsageError`` when
        there is no image. When there is no room for *demand*, the lease has a refusal, and the caller ends the import
        with it.
        """
        with self._database.writing(durable=False) as transaction:
            fence = images.lock_row(transaction, image_id) + 1
            now = transaction.now()
            lock.make_free(transaction, image_id, now)
            before = images.get(transaction, image_id)
            require_startable(before, starts_from, brings_formats=brings_formats, brings_data=brings_data)
            lease = Lease(
                task_id=str(uuid.uuid4()),
                image_id=image_id,
                fence=fence,
                seconds=lease_seconds,
                before=before,
                database=self._database,
            )
            transaction.insert("tasks", _new_task(lease, request, owner, now))
            images.set_fence(transaction, image_id, fence)
            images.write(
                transaction,
                image_id,
                now,
                fields={} if before.status == "active" else {"status": "importing"},
                properties={
                    LOCK: lease.task_id,
                    IMPORTING: joined(stores_in(before, IMPORTING) | set(targets)),
                    FAILED: joined(stores_in(before, FAILED) - set(targets)),
                    STAGE_HOST: None,
                    STAGE_DIRECTORY: None,
                },
                brings_formats=brings_formats,
            )
            try:
                usage.require(transaction, demand)
            except OverQuota as error:
                # The task has to exist, so that its failure is recorded.
                return replace(lease, refusal=error)
            return lease
