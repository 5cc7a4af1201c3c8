"""Transitions between the statuses of images and tasks, as data.

There is no status for errors. An import that fails makes its image ``queued`` again; the task has the reason, and the
property ``os_glance_failed_import`` the stores that lack the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from imageport.errors import Conflict
from imageport.values import ImageStatus

if TYPE_CHECKING:
    from imageport.values import ImageRecord

TaskStatus = Literal["pending", "processing", "success", "failure"]

#: The moves of images around imports, as in Glance. ``saving``, ``deactivated`` and ``pending_delete`` belong to ways
#: of Glance that are not imports: from there an image can only be deleted.
IMAGE_MOVES: Mapping[ImageStatus, frozenset[ImageStatus]] = MappingProxyType(
    {
        "queued": frozenset({"uploading", "importing", "saving", "active", "deleted"}),
        "uploading": frozenset({"importing", "queued", "deleted"}),
        "importing": frozenset({"active", "queued", "deleted"}),
        "active": frozenset({"deactivated", "deleted", "pending_delete"}),
        "saving": frozenset({"deleted"}),
        "deactivated": frozenset({"deleted"}),
        "pending_delete": frozenset({"deleted"}),
        "deleted": frozenset(),
    }
)

#: The moves of tasks; both ends are final.
TASK_MOVES: Mapping[TaskStatus, frozenset[TaskStatus]] = MappingProxyType(
    {
        "pending": frozenset({"processing", "failure"}),
        "processing": frozenset({"success", "failure"}),
        "success": frozenset(),
        "failure": frozenset(),
    }
)

#: The statuses of tasks that have not ended.
UNFINISHED = frozenset(status for status, moves in TASK_MOVES.items() if moves)

#: Fields of the record that describe the data, reset without it.
CLEARED_WHEN_QUEUED: Mapping[str, None] = MappingProxyType({"size": None, "virtual_size": None})

_NEED_FORMATS = frozenset({"importing", "active"})


def require_image_move(
    record: ImageRecord, to: ImageStatus, *, brings_formats: bool = False, disk_format: str | None = None,
    container_format: str | None = None,
) -> None:  # fmt: skip
    """Raise ``Conflict`` unless *record* may become *to*; to keep its status is always allowed.

    To become ``importing`` or ``active``, both formats have to be set, in the record or at the same time by
    *disk_format* and *container_format*. An import that *brings_formats*, because its caller declared them or because
    it takes the detected ones, begins without.
    """
    if record.status == to:
        return
    if to not in IMAGE_MOVES[record.status]:
        allowed = ", ".join(sorted(IMAGE_MOVES[record.status])) or "nothing else"
        raise Conflict(
            f"image {record.id} is {record.status} and cannot become {to}, only {allowed}",
            hint=f"look at it with 'imageport images show {record.id}', or use another image",
        )
    formats = {
        "disk_format": disk_format or record.disk_format,
        "container_format": container_format or record.container_format,
    }
    missing = [name for name, value in formats.items() if value is None]
    if missing and to in _NEED_FORMATS and not (brings_formats and to == "importing"):
        options = " ".join(f"--{name.replace('_', '-')} FORMAT" for name in missing)
        raise Conflict(
            f"image {record.id} has no {' and no '.join(missing)}, so it cannot become {to}",
            hint=f"declare what the bytes are: {options}; '--disk-format auto' takes what is found in them",
        )


def require_task_move(task_id: str, now: TaskStatus, to: TaskStatus) -> None:
    """Raise ``Conflict`` unless a task with status *now* may become *to*."""
    if to not in TASK_MOVES[now]:
        raise Conflict(
            f"task {task_id} is {now} and cannot become {to}",
            hint="look at it with 'imageport tasks show'",
        )
