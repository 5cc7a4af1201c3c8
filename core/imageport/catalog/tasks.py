"""Rows of tasks: one for every run of an import."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, delete, select, update

from imageport.access.scope import Scope
from imageport.catalog.images import MIN_PREFIX
from imageport.catalog.lifecycle import UNFINISHED, TaskStatus, require_task_move
from imageport.catalog.listing import tasks_beginning_so
from imageport.catalog.processes import is_dead
from imageport.catalog.tables import tasks
from imageport.errors import Conflict, UsageError

#: How long a finished task is remembered; the default of Glance's ``task_time_to_live``.
TIME_TO_LIVE = timedelta(hours=48)
_SHOWN_CANDIDATES = 5
#: Tasks read by one statement; a database takes only so many values in one.
_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """A run of an import, as the catalog knows it.

    ``holder`` is the process that works on it, as named by ``this_process()``. Its lease ends at
    ``lease_expires_at`` unless it is renewed. ``cause`` says why a task failed: ``code``, ``step``, ``store`` and
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
        """Say whether no process works on this unfinished task any more."""
        return not self.finished and is_dead(self.holder, self.lease_expires_at, now)


_COLUMNS = [tasks.c[field.name] for field in fields(TaskRow)]


def select_rows(connection: Connection, *conditions: ColumnElement[bool]) -> list[TaskRow]:
    """Return the tasks that meet all *conditions*, newest first."""
    rows = connection.execute(
        select(*_COLUMNS).where(*conditions).order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
    )
    return [TaskRow(**row) for row in rows.mappings()]


def rows(connection: Connection, ids: Sequence[str]) -> list[TaskRow]:
    """Return the tasks with these *ids*, newest first."""
    parts = [ids[start : start + _AT_ONCE] for start in range(0, len(ids), _AT_ONCE)]
    return [task for part in parts for task in select_rows(connection, tasks.c.id.in_(part))]


def get(connection: Connection, task_id: str) -> TaskRow:
    """Return the task with exactly this id. Raises ``UsageError``."""
    task = get_if_any(connection, task_id)
    if task is None:
        raise UsageError(f"no task {task_id}", hint="'imageport tasks list' shows what there is")
    return task


def get_if_any(connection: Connection, task_id: str) -> TaskRow | None:
    """Return the task with exactly this id, if there is one."""
    return next(iter(select_rows(connection, tasks.c.id == task_id)), None)


def expired(connection: Connection, now: datetime) -> list[tuple[str, str]]:
    """Return id and image of the tasks that ``remove_expired`` forgets."""
    rows = connection.execute(select(tasks.c.id, tasks.c.image_id).where(*_expired(now)))
    return [(row.id, row.image_id) for row in rows]


def find(connection: Connection, prefix: str, *, sees_image: Scope, sees_task: Scope) -> TaskRow:
    """Return the one task in both scopes whose id begins with *prefix*. Raises ``UsageError``."""
    if len(prefix) < MIN_PREFIX:
        raise UsageError(
            f"'{prefix}' is too short to name a task",
            hint=f"give at least the first {MIN_PREFIX} characters of its id",
        )
    few = _SHOWN_CANDIDATES + 1
    found = tasks_beginning_so(connection, prefix, sees_image=sees_image, sees_task=sees_task, limit=few)
    if not found:
        raise UsageError(f"no task {prefix}", hint="'imageport tasks list' shows what there is")
    if len(found) > 1:
        candidates = ", ".join(sorted(found)[:_SHOWN_CANDIDATES])
        more = " and more" if len(found) > _SHOWN_CANDIDATES else ""
        raise UsageError(f"several tasks begin with {prefix}: {candidates}{more}", hint="give more of the id")
    return get(connection, found[0])


def lock_row(connection: Connection, task_id: str) -> TaskRow:
    """Keep others from writing the task until the transaction ends, and return it. Raises ``UsageError``."""
    lock_row_if_any(connection, task_id)
    return get(connection, task_id)


def lock_row_if_any(connection: Connection, task_id: str) -> TaskRow | None:
    """Do as ``lock_row``, but return None when there is no such task."""
    connection.execute(select(tasks.c.id).where(tasks.c.id == task_id).with_for_update())
    return get_if_any(connection, task_id)


def write(connection: Connection, task_id: str, now: datetime, **columns: Any) -> None:
    """Set these columns of the task. Raises ``Conflict`` for a status that it cannot get."""
    if "status" in columns:
        current = connection.execute(select(tasks.c.status).where(tasks.c.id == task_id)).scalar_one()
        require_task_move(task_id, current, cast("TaskStatus", columns["status"]))
    connection.execute(update(tasks).where(tasks.c.id == task_id).values(**columns, updated_at=now))


def close(
    connection: Connection,
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
        connection,
        task_id,
        now,
        status=status,
        message=message,
        result=result,
        cause=cause,
        expires_at=now + TIME_TO_LIVE,
    )


def request_cancel(connection: Connection, task_id: str, now: datetime) -> TaskRow:
    """Ask the process that runs the task to stop. Raises ``Conflict`` when the task is over."""
    task = lock_row(connection, task_id)
    if task.finished:
        raise Conflict(
            f"task {task_id} ended with {task.status} already", hint="there is nothing left to cancel"
        )
    write(connection, task_id, now, cancel_requested=True)
    return get(connection, task_id)


def remove_expired(connection: Connection, now: datetime) -> int:
    """Forget finished tasks whose time has come."""
    return connection.execute(delete(tasks).where(*_expired(now))).rowcount


def _expired(now: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return tasks.c.status.not_in(UNFINISHED), tasks.c.expires_at <= now
