"""Roll an import back: one that failed, or one whose process has died.

Each function is called within one transaction, and locks the row of the image before that of the task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from imageport.catalog import images, locations, lock, tasks
from imageport.catalog.database import CatalogPart, Transaction
from imageport.catalog.lifecycle import UNFINISHED
from imageport.catalog.lock import FAILED, IMPORTING, LOCK, joined, stores_in
from imageport.catalog.processes import is_gone, this_process
from imageport.catalog.tables import WRITER
from imageport.catalog.tasks import TaskRow
from imageport.values import ImageRecord

#: How long the removal of a dead import's bytes may take until another process may take that over as well.
TAKE_OVER_TIME = timedelta(minutes=10)

_NEW = frozenset({"queued", "uploading"})


def fail(
    transaction: Transaction,
    before: ImageRecord,
    task_id: str,
    fence: int,
    *,
    message: str,
    failed_stores: Sequence[str],
    cause: Mapping[str, str | None] | None,
) -> None:
    """End the import that has this *fence* with failure; *before* is the image as it was when it began.

    Does nothing when the task has ended, or when another process took it over, which will then do this.
    """
    current_fence = images.lock_row_if_any(transaction, before.id)
    task = tasks.lock_row_if_any(transaction, task_id)
    if task is None:
        # A user has removed the task itself.
        if current_fence == fence:
            now = transaction.now()
            if is_in_use(transaction, before.id, before.status):
                _release_active(transaction, before.id, now)
                return
            touched = {"fields": images.SETTABLE if before.status in _NEW else (), "properties": ()}
            _put_back(
                transaction, before.id, now,
                snapshot=images.snapshot(before), touched=touched, failed_stores=failed_stores,
            )  # fmt: skip
        locations.hide(transaction, "task_id = :task", task=task_id)
    elif not task.finished and task.fence == fence:
        _undo(transaction, task, message=message, failed_stores=failed_stores, result={}, cause=cause)


def is_in_use(transaction: Transaction, image_id: str, status_before: str) -> bool:
    """Return whether users have the image, to which its import gave that state."""
    return status_before in _NEW and images.get(transaction, image_id).status == "active"


def _undo(
    transaction: Transaction,
    task: TaskRow,
    *,
    message: str,
    failed_stores: Sequence[str] = (),
    result: Mapping[str, Any] | None = None,
    cause: Mapping[str, str | None] | None = None,
) -> None:
    """Undo the changes of the import, end its task with failure and release the lock.

    An image that users have already is not taken from them: its import ends with the copies that are published.
    """
    if _made_active(transaction, task):
        _complete(transaction, task, message)
        return
    now = transaction.now()
    if lock.holder(transaction, task.image_id) == task.id:
        row = transaction.row("SELECT snapshot, touched FROM tasks WHERE id = :task", task=task.id)
        _put_back(transaction, task.image_id, now, failed_stores=failed_stores, **(row or {}))
    locations.hide(transaction, "task_id = :task", task=task.id)
    tasks.close(transaction, task.id, now, status="failure", message=message, result=result, cause=cause)


def take_over(transaction: Transaction, task: TaskRow) -> TaskRow | None:
    """Make this process the one that settles the dead *task*; None when it is not dead, or no longer.

    Copies that have to go are hidden at once, so that no reader finds one whose bytes are being removed.
    """
    image_fence = images.lock_row_if_any(transaction, task.image_id) or 0
    current = tasks.lock_row(transaction, task.id)
    now = transaction.now()
    if not current.is_dead(now):
        return None
    fence = max(image_fence, current.fence) + 1
    if lock.holder(transaction, task.image_id) == task.id:
        images.set_fence(transaction, task.image_id, fence)
    if not _made_active(transaction, task):
        locations.hide(transaction, "task_id = :task", task=task.id)
    if not is_gone(current.holder):
        touched = transaction.value("SELECT touched FROM tasks WHERE id = :task", task=task.id)
        tasks.write(transaction, task.id, now, touched={**touched, WRITER: current.holder})
    tasks.write(
        transaction,
        task.id,
        now,
        message=f"the import died: its {current.process} ended or stopped renewing its lease",
        holder=this_process(),
        fence=fence,
        lease_expires_at=now + TAKE_OVER_TIME,
    )
    return tasks.get(transaction, task.id)


def _made_active(transaction: Transaction, task: TaskRow) -> bool:
    """Return whether the import had everything checked and gave its image to the users before it died."""
    if lock.holder(transaction, task.image_id) != task.id:
        return False
    before = transaction.value("SELECT snapshot FROM tasks WHERE id = :task", task=task.id)
    return is_in_use(transaction, task.image_id, before["fields"]["status"])


def _complete(transaction: Transaction, task: TaskRow, message: str) -> None:
    """End the import with the copies that it had published; the other stores have failed."""
    now = transaction.now()
    _release_active(transaction, task.image_id, now)
    tasks.close(
        transaction,
        task.id,
        now,
        status="success",
        message=f"{message}, after the image had become active",
        result={"image_id": task.image_id},
    )


def _release_active(transaction: Transaction, image_id: str, now: datetime) -> None:
    """Unlock an image that users have; the stores that were not reached have failed."""
    record = images.get(transaction, image_id)
    failed = stores_in(record, FAILED) | stores_in(record, IMPORTING)
    properties = {IMPORTING: "", FAILED: joined(failed), LOCK: None}
    images.write(transaction, image_id, now, fields={}, properties=properties)


def _put_back(
    transaction: Transaction,
    image_id: str,
    now: datetime,
    *,
    snapshot: Mapping[str, Any],
    touched: Mapping[str, Any],
    failed_stores: Sequence[str],
) -> None:
    """Restore the fields of the image that *touched* names from *snapshot*, and release the lock."""
    before = snapshot["fields"]
    fields = {name: before[name] for name in touched["fields"]}
    if before["status"] in _NEW:
        # A staged image goes back to queued as well: the import may have used its data up.
        fields |= {"status": "queued", "size": None, "virtual_size": None}
    properties = {name: snapshot["properties"].get(name) for name in touched["properties"]}
    failed = stores_in(images.get(transaction, image_id), FAILED) | set(failed_stores)
    released = {IMPORTING: "", FAILED: joined(failed), LOCK: None}
    images.write(transaction, image_id, now, fields=fields, properties={**properties, **released})


class DeadImports(CatalogPart):
    """Ends imports whose process has died."""

    def dead_import(self, image_id: str) -> TaskRow | None:
        """Take over the import that locks the image, if its lease has run out or its process is gone.

        The caller that gets the task removes the bytes of its ``pending_locations`` and calls ``recover``; until then
        the image stays locked, and the old process is shut out. None when no dead import holds the lock.
        """
        with self._database.writing() as transaction:
            task_id = lock.holder(transaction, image_id)
            task = tasks.get_if_any(transaction, task_id) if task_id else None
            return take_over(transaction, task) if task else None

    def dead_imports(self) -> list[TaskRow]:
        """Return the unfinished tasks whose lease ran out or whose process is gone; changes nothing."""
        with self._database.reading() as transaction:
            now = transaction.now()
            unfinished = tasks.select_rows(transaction, "status IN :unfinished", unfinished=UNFINISHED)
        return [task for task in unfinished if task.is_dead(now)]

    def take_over(self, task: TaskRow) -> TaskRow | None:
        """Take over one of ``dead_imports``, see ``dead_import``. None when another process was faster."""
        with self._database.writing() as transaction:
            return take_over(transaction, task)

    def recover(self, task: TaskRow) -> None:
        """End a dead import like ``fail``; one that lives or that others took over stays as it is.

        If its image was active already it stays so, with the copies published so far, because it may be in use; the
        task then ends with success, and the stores that were not reached are in the failed list.
        """
        with self._database.writing() as transaction:
            current = take_over(transaction, task) or tasks.get(transaction, task.id)
            if not current.finished and current.holder == this_process():
                _undo(transaction, current, message=current.message)
