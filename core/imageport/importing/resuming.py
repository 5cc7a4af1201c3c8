"""Find the killed imports that can be continued, and the command that does it."""

from __future__ import annotations

from imageport.access.permissions import Access
from imageport.catalog import Catalog, TaskRow
from imageport.errors import Conflict, UsageError
from imageport.importing.admission import ImportRequest
from imageport.importing.plan import Plan
from imageport.importing.staging import Staging


def kept_bytes(task: TaskRow, catalog: Catalog, staging: Staging) -> int:
    """Return how many bytes of its source another import can take over from *task*; 0 unless that is dead."""
    return staging.partial(task.image_id, task.id).kept() if _is_dead(task, catalog) else 0


def require_resumable(request: ImportRequest, plan: Plan, access: Access, staging: Staging) -> TaskRow:
    """Return the dead import that *request* wants to go on with.

    Raises ``UsageError`` when there is no such import, nothing was kept of it or it was about something else,
    ``Conflict`` when it is alive, and ``NotAllowed``.
    """
    task = access.find_task(request.resume or "")
    if request.image is not None and access.find_image(request.image).id != task.image_id:
        raise UsageError(
            f"task {task.id} imported image {task.image_id}, not '{request.image}'",
            hint="leave --image out: the import goes on into its own image",
        )
    if task.finished:
        raise UsageError(
            f"task {task.id} has ended with {task.status}: there is nothing to go on with",
            hint="import again without --resume; only an import that was killed can be resumed, until it is cleaned up",
        )
    if not _is_dead(task, access.catalog):
        raise Conflict(
            f"task {task.id} is alive: its {task.process} works on it",
            hint=f"wait for it to end, or stop it with: imageport tasks cancel {task.id}",
        )
    access.require("modify_image", access.find_image(task.image_id))
    for what, before, now in (
        ("pipeline", task.input.get("pipeline"), plan.name),
        ("source", task.input.get("source"), plan.shown_source),
    ):
        if before != now:
            raise UsageError(
                f"task {task.id} had the {what} {before}, and this one is {now}",
                hint="resume with the same pipeline and source, or import again without --resume",
            )
    if not plan.spool_first:
        raise UsageError(
            f"pipeline {plan.name} does not write its source to the staging directory, so nothing was kept",
            hint="import again without --resume; with 'staging: file' in the pipeline, later imports can be resumed",
        )
    if not staging.partial(task.image_id, task.id).kept():
        raise UsageError(
            f"nothing of the source of task {task.id} was kept that can be used",
            hint=f"import again without --resume; the server must give a length and a strong ETag or a date, and the "
            f"data is on the machine of the {task.process}",
        )
    return task


def _is_dead(task: TaskRow, catalog: Catalog) -> bool:
    return task.id in {dead.id for dead in catalog.dead_imports()}
