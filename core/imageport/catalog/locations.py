"""Copies in stores: visible ones, and hidden ones whose bytes have to be removed.

A row is ``pending`` while its import may still take the copy back, and ``active`` once it can be seen. The process that
removes the bytes marks it ``removing`` first and drops it last: until then no other process removes them, and no import
writes there.

A process that was taken over because its lease expired may only be stopped. When it wakes up it may still give a file a
name, until it learns that its lease is lost. So the row stays, for a later removal, until that process is seen to be
gone or the task is forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Literal

from imageport.catalog.database import CatalogPart, Row, Transaction
from imageport.catalog.images import to_location
from imageport.catalog.lifecycle import UNFINISHED
from imageport.catalog.processes import is_dead, is_gone, this_process
from imageport.catalog.tables import HIDDEN, WRITER
from imageport.errors import Conflict, UsageError
from imageport.text import did_you_mean
from imageport.values import ImageRecord, Location

LocationStatus = Literal["pending", "active"]

#: How long a removal may take until others may try it too; one whose process is seen to be gone ends at once.
REMOVAL_TIME = timedelta(hours=1)

_COLUMNS = ", ".join(
    f"image_locations.{name}"
    for name in (
        "number", "image_id", "store", "url", "metadata", "status", "task_id", "remover", "removal_expires_at",
    )
)  # fmt: skip
_AT = "image_id = :image AND store = :store AND url = :url"
_FREE = {"status": "pending", "remover": None, "removal_expires_at": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenCopy:
    """A copy that no reader can see and no import takes back: its bytes have to be removed.

    ``task_id`` is the import that wrote it, which may be forgotten by now.
    """

    task_id: str | None
    image_id: str
    location: Location


def put(
    transaction: Transaction, image_id: str, task_id: str, location: Location, status: LocationStatus
) -> None:
    """Record the copy of an import with *status*. Raises ``Conflict`` when another copy is there, or just removed."""
    at = {"image": image_id, "store": location.store, "url": location.url}
    row = {"metadata": location.metadata, "status": status, "task_id": task_id}
    # A pending row that an earlier import left there now describes bytes of this one, hence is taken over.
    mine = f"{_AT} AND (status = 'pending' OR (status = 'active' AND task_id = :task))"
    if transaction.update("image_locations", row, mine, task=task_id, **at):
        return
    found = transaction.value(f"SELECT status FROM image_locations WHERE {_AT}", **at)
    if found is None:
        transaction.insert(
            "image_locations", row | {"image_id": image_id, "store": location.store, "url": location.url}
        )
    elif found == "removing":
        raise Conflict(
            f"store '{location.store}' is just removing an earlier copy of image {image_id} at {location.url}",
            hint="try again in a moment; if that process was killed, run 'imageport gc' first",
        )
    else:
        raise Conflict(
            f"store '{location.store}' holds a copy of image {image_id} at {location.url} already",
            hint="leave this store out",
        )


def hidden(transaction: Transaction, condition: str = "1 = 1", /, **values: Any) -> list[HiddenCopy]:
    """Return the hidden copies that meet the *condition* and that no process is about to remove."""
    rows = transaction.rows(
        f"SELECT {_COLUMNS}, touched"
        " FROM image_locations LEFT JOIN tasks ON tasks.id = image_locations.task_id"
        f" WHERE image_locations.{HIDDEN} AND (tasks.id IS NULL OR tasks.status NOT IN :unfinished) AND {condition}",
        unfinished=UNFINISHED, **values,
    )  # fmt: skip
    now = transaction.now()
    # To have them in order, SQLite would read all rows instead of the index of the hidden ones.
    return [
        HiddenCopy(task_id=row["task_id"], image_id=row["image_id"], location=to_location(row))
        for row in sorted(rows, key=itemgetter("number"))
        if _is_free(row, now) and not _may_wake(row["touched"])
    ]


def require_another(record: ImageRecord, store: str) -> None:
    """Make sure that *record* has a copy in *store* and one elsewhere. Raises ``UsageError`` and ``Conflict``."""
    holding = {location.store for location in record.locations}
    if store not in holding:
        raise UsageError(
            f"store '{store}' has no copy of image {record.id}{did_you_mean(store, holding)}",
            hint=f"copies are in: {', '.join(sorted(holding))}",
        )
    if holding == {store}:
        raise Conflict(
            f"store '{store}' has the last copy of image {record.id}",
            hint="copy the image to another store first, or delete the image",
        )


def hide(transaction: Transaction, condition: str, /, **values: Any) -> None:
    """Make the copies that can be seen pending again, if they meet the *condition*."""
    transaction.update(
        "image_locations", {"status": "pending"}, f"status = 'active' AND {condition}", **values
    )


class HiddenCopies(CatalogPart):
    """Removes copies that have to go: one process at a time, in its own transactions before and after the bytes."""

    def pending_locations(self, task_id: str) -> list[Location]:
        """Return the copies announced by the import that are neither published nor forgotten."""
        with self._database.reading() as transaction:
            rows = transaction.rows(
                f"SELECT {_COLUMNS} FROM image_locations WHERE task_id = :task AND {HIDDEN} ORDER BY number",
                task=task_id,
            )
            return [to_location(row) for row in rows]

    def hidden_copies(self) -> list[HiddenCopy]:
        """Return the copies that have to be removed and that no import or process cares for any more."""
        with self._database.reading() as transaction:
            return hidden(transaction)

    def claim_removal(self, task_id: str | None, location: Location) -> bool:
        """Make this process the only one that removes the bytes of a copy, and keep imports from writing there.

        False when the copy is not that task's any more, can be seen, or is just being removed by another process.
        To be followed by ``forget`` or ``release_removal``.
        """
        of_task, values = _of(task_id, location)
        with self._database.writing() as transaction:
            row = transaction.row(
                f"SELECT {_COLUMNS} FROM image_locations WHERE {of_task} AND {HIDDEN} FOR UPDATE", **values
            )
            now = transaction.now()
            if row is None or not _is_free(row, now):
                return False
            claim = {
                "status": "removing",
                "remover": this_process(),
                "removal_expires_at": now + REMOVAL_TIME,
            }
            transaction.update("image_locations", claim, "number = :number", number=row["number"])
            return True

    def release_removal(self, task_id: str | None, location: Location) -> None:
        """Give up a claimed removal that did not succeed, so that others can try."""
        of_task, values = _of(task_id, location)
        with self._database.writing() as transaction:
            mine = f"{of_task} AND remover = :me"
            transaction.update("image_locations", _FREE, mine, me=this_process(), **values)

    def forget(self, task_id: str | None, location: Location) -> None:
        """Drop the record of a hidden copy whose bytes are gone, unless another process removes them just now.

        While the process that wrote them may wake up, the record stays, and is ``pending`` again.
        """
        of_task, values = _of(task_id, location)
        mine = f"{of_task} AND {HIDDEN} AND (remover IS NULL OR remover = :me)"
        with self._database.writing() as transaction:
            touched = transaction.value("SELECT touched FROM tasks WHERE id = :task", task=task_id)
            if _may_wake(touched):
                transaction.update("image_locations", _FREE, mine, me=this_process(), **values)
            else:
                transaction.change(f"DELETE FROM image_locations WHERE {mine}", me=this_process(), **values)

    def knows(self, image_id: str, location: Location) -> bool:
        """Return whether a copy of the image is recorded at *location*, visible or hidden, of any import."""
        at = {"image": image_id, "store": location.store, "url": location.url}
        with self._database.reading() as transaction:
            return transaction.row(f"SELECT number FROM image_locations WHERE {_AT}", **at) is not None


def _may_wake(touched: Mapping[str, Any] | None) -> bool:
    """Return whether the process from which a task was taken over may still write, see ``tasks.touched``."""
    writer = touched.get(WRITER) if touched else None
    return writer is not None and writer != this_process() and not is_gone(writer)


def _of(task_id: str | None, location: Location) -> tuple[str, dict[str, Any]]:
    """Return the condition for the rows of a copy that this task wrote, and its values."""
    values = {"store": location.store, "url": location.url}
    if task_id is None:
        return "task_id IS NULL AND store = :store AND url = :url", values
    return "task_id = :task AND store = :store AND url = :url", values | {"task": task_id}


def _is_free(row: Row, now: datetime) -> bool:
    return (
        row["status"] == "pending"
        or row["remover"] == this_process()
        or is_dead(row["remover"], row["removal_expires_at"], now)
    )
