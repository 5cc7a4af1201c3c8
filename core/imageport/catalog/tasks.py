"""Tasks: one for every run of an import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, cast

from imageport.access.visibility import EVERYTHING, Scope
from imageport.catalog.database import CatalogPart, Transaction
from imageport.catalog.finding import MIN_PREFIX, SHOWN_CANDIDATES
from imageport.catalog.lifecycle import UNFINISHED, TaskStatus, require_task_move
from imageport.catalog.listing import Page, task_ids, tasks_beginning_so
from imageport.catalog.processes import is_dead
from imageport.errors import Conflict, LockLost, UsageError

#: How long a finished task is remembered; the default of Glance's ``task_time_to_live``.
TIME_TO_LIVE = timedelta(hours=48)
#: Tasks read by one statement; a database takes only so many values in one.
_AT_ONCE = 500

_EXPIRED = "status NOT IN :unfinished AND expires_at <= :now"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A run of an import, as the catalog knows it.

    ``holder`` is the process that works on it, as named by ``this_process()``. Its lease ends at
    ``lease_expires_at`` unless it is renewed. ``cause`` is why a task failed: ``code``, ``step``, ``store`` and
    ``hint`` of its error. ``expires_at`` is when a finished task may be forgotten.
    """

    id: str
    image_id: str
    type: str
    status: TaskStatus
    message: str
    cause: Mapping[str, str | None] | None
    owner: str
    input: Mapping[str, Any]
    result: Mapping[str, Any] | None
    progress: Mapping[str, Any]
    holder: str
    attempt: int
    fence: int
    cancel_requested: bool
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    lease_expires_at: datetime

    @property
    def finished(self) -> bool:
        """Whether the task has ended, well or not."""
        return self.status not in UNFINISHED

    @property
    def process(self) -> str:
        """The holder, for people."""
        host, pid, _ = self.holder.rsplit(":", 2)
        return f"process {pid} on {host}"

    def is_dead(self, now: datetime) -> bool:
        """Return whether no process works on this unfinished task any more."""
        return not self.finished and is_dead(self.holder, self.lease_expires_at, now)


_COLUMNS = ", ".join(field.name for field in fields(TaskRow))


def select_rows(transaction: Transaction, condition: str, /, **values: Any) -> list[TaskRow]:
    """Return the tasks that meet the *condition* with these values, newest first."""
    statement = f"SELECT {_COLUMNS} FROM tasks WHERE {condition} ORDER BY created_at DESC, id DESC"
    return [TaskRow(**row) for row in transaction.rows(statement, **values)]


def rows(transaction: Transaction, ids: Sequence[str]) -> list[TaskRow]:
    """Return the tasks with these *ids*, newest first."""
    parts = [list(ids[start : start + _AT_ONCE]) for start in range(0, len(ids), _AT_ONCE)]
    return [task for part in parts for task in select_rows(transaction, "id IN :ids", ids=part)]


def get(transaction: Transaction, task_id: str) -> TaskRow:
    """Return the task with exactly this id. Raises ``UsageError``."""
    task = get_if_any(transaction, task_id)
    if task is None:
        raise UsageError(f"no task {task_id}", hint="'imageport tasks list' shows what there is")
    return task


def get_if_any(transaction: Transaction, task_id: str) -> TaskRow | None:
    """Return the task with exactly this id, if there is one."""
    return next(iter(select_rows(transaction, "id = :task", task=task_id)), None)


def lock_row(transaction: Transaction, task_id: str) -> TaskRow:
    """Keep others from writing the task until the transaction ends, and return it. Raises ``UsageError``."""
    lock_row_if_any(transaction, task_id)
    return get(transaction, task_id)


def lock_row_if_any(transaction: Transaction, task_id: str) -> TaskRow | None:
    """Do as ``lock_row``, but return None when there is no such task."""
    transaction.row("SELECT id FROM tasks WHERE id = :task FOR UPDATE", task=task_id)
    return get_if_any(transaction, task_id)


def write(transaction: Transaction, task_id: str, now: datetime, **columns: Any) -> None:
    """Set these columns. Raises ``Conflict`` for a status that the task cannot get, ``LockLost`` when it is gone."""
    if "status" in columns:
        current = transaction.value("SELECT status FROM tasks WHERE id = :task", task=task_id)
        if current is not None:
            require_task_move(task_id, current, cast("TaskStatus", columns["status"]))
    if not transaction.update("tasks", {**columns, "updated_at": now}, "id = :task", task=task_id):
        raise removed(task_id)


def removed(task_id: str) -> LockLost:
    """Return the error of an import whose task was deleted by hand."""
    return LockLost(
        f"task {task_id} was removed from the catalog", hint="import again if the image is wanted"
    )


def close(
    transaction: Transaction,
    task_id: str,
    now: datetime,
    *,
    status: TaskStatus,
    message: str,
    result: Mapping[str, Any] | None,
    cause: Mapping[str, str | None] | None = None,
) -> None:
    """End the task for good."""
    write(
        transaction,
        task_id,
        now,
        status=status,
        message=message,
        result=result,
        cause=cause,
        expires_at=now + TIME_TO_LIVE,
    )


class Tasks(CatalogPart):
    """Finds, cancels and forgets tasks."""

    def get_task(self, task_id: str) -> TaskRow:
        """Return the task with exactly this id. Raises ``UsageError``."""
        with self._database.reading() as transaction:
            return get(transaction, task_id)

    def find_task(
        self, prefix: str, *, sees_image: Scope = EVERYTHING, sees_task: Scope = EVERYTHING
    ) -> TaskRow:
        """Return the one task whose id begins with these 4 or more characters. Raises ``UsageError``.

        A task that is not in both scopes is as if it were not there, see ``list_tasks``.
        """
        if len(prefix) < MIN_PREFIX:
            raise UsageError(
                f"'{prefix}' is too short to name a task",
                hint=f"give at least the first {MIN_PREFIX} characters of its id",
            )
        few = SHOWN_CANDIDATES + 1
        with self._database.reading() as transaction:
            found = tasks_beginning_so(
                transaction, prefix, sees_image=sees_image, sees_task=sees_task, limit=few
            )
            if len(found) == 1:
                return get(transaction, found[0])
        if not found:
            raise UsageError(f"no task {prefix}", hint="'imageport tasks list' shows what there is")
        candidates = ", ".join(sorted(found)[:SHOWN_CANDIDATES])
        more = " and more" if len(found) > SHOWN_CANDIDATES else ""
        raise UsageError(f"several tasks begin with {prefix}: {candidates}{more}", hint="give more of the id")

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

        Their images are in the scope *sees_image*, and the tasks, as images of the users who started them, in
        *sees_task*. At most *limit* tasks, from behind the one with the id *marker*.
        """
        page = Page(limit=limit, marker=marker)
        with self._database.reading() as transaction:
            found = task_ids(
                transaction,
                image_id=image_id,
                status=status,
                sees_image=sees_image,
                sees_task=sees_task,
                page=page,
            )
            return rows(transaction, found)

    def expired_tasks(self, now: datetime) -> list[tuple[str, str]]:
        """Return id and image of each task that ``remove_expired_tasks`` forgets."""
        with self._database.reading() as transaction:
            found = transaction.rows(
                f"SELECT id, image_id FROM tasks WHERE {_EXPIRED}", unfinished=UNFINISHED, now=now
            )
        return [(row["id"], row["image_id"]) for row in found]

    def remove_expired_tasks(self, now: datetime) -> int:
        """Forget tasks that ended long ago (``expires_at`` is before *now*) and return how many."""
        with self._database.writing() as transaction:
            return transaction.change(f"DELETE FROM tasks WHERE {_EXPIRED}", unfinished=UNFINISHED, now=now)

    def request_cancel(self, task_id: str) -> TaskRow:
        """Ask an import to stop when it next renews its lease. Raises ``Conflict`` when it is over."""
        with self._database.writing() as transaction:
            task = lock_row(transaction, task_id)
            if task.finished:
                raise Conflict(
                    f"task {task_id} ended with {task.status} already", hint="there is nothing left to cancel"
                )
            write(transaction, task_id, transaction.now(), cancel_requested=True)
            return get(transaction, task_id)
