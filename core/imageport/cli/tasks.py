"""``imageport tasks``: imports that run, and how earlier ones ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from imageport.cli.options import DEFAULT_LIMIT, Json, Limit, Project, Roles, User, caller
from imageport.cli.output import (
    page_of,
    print_fields,
    print_json,
    print_line,
    print_table,
    short_time,
    with_next,
)

if TYPE_CHECKING:
    from imageport.app import Imageport, TaskRow, TaskStatus

app = typer.Typer(help="Show and cancel imports.", no_args_is_help=True)

#: Characters of an id that are shown where there is little room; every command finds the whole one by them.
_ENOUGH = 8

TaskId = Annotated[
    str, typer.Argument(metavar="TASK", help="Id of the task, or its first 4 or more characters.")
]


@app.command("list")
def list_tasks(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    image: Annotated[
        str | None, typer.Option(metavar="IMAGE", help="Only tasks of this image (id, start of it, or name).")
    ] = None,
    status: Annotated[
        str | None, typer.Option(help="Only tasks that are pending, processing, success or failure.")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    marker: Annotated[
        str | None, typer.Option(metavar="TASK", help="Begin behind this task, the last of the page before.")
    ] = None,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
    json: Json = False,
) -> None:
    """List tasks, the newest first. Finished ones are kept for 48 hours."""
    imageport: Imageport = ctx.obj
    found = imageport.session(caller(user, project, roles)).list_tasks(
        image=image, status=cast("TaskStatus | None", status), limit=with_next(limit), marker=marker
    )
    tasks = page_of(found, limit)
    if json:
        print_json([_describe(task) for task in tasks])
    else:
        print_table(
            ("ID", "STATUS", "IMAGE", "STARTED", "MESSAGE"),
            (
                (
                    task.id[:_ENOUGH],
                    _state(task),
                    task.image_id[:_ENOUGH],
                    short_time(task.created_at),
                    task.message,
                )
                for task in tasks
            ),
            cut=True,
        )


@app.command("show")
def show_task(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    task: TaskId,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
    json: Json = False,
) -> None:
    """Show one task: who runs it, how far it is, how it ended, and whether it can be resumed after its process died."""
    imageport: Imageport = ctx.obj
    session = imageport.session(caller(user, project, roles))
    found = session.find_task(task)
    kept = session.resumable_bytes(found.id)
    described = {**_describe(found), "resumable_bytes": kept}
    if json:
        print_json(described)
        return
    if kept:
        described["resumable_bytes"] = (
            f"{kept}, by 'imageport run PIPELINE SOURCE --resume {found.id[:_ENOUGH]}'"
        )
    described["input"] = [f"{name}: {value}" for name, value in found.input.items() if value is not None]
    described["progress"] = [f"{lane}: {done}" for lane, done in found.progress.items()]
    described["cause"] = [f"{name}: {value}" for name, value in (found.cause or {}).items() if value]
    described["result"] = list(_lines(found.result or {}))
    print_fields(described)


@app.command("cancel")
def cancel_task(
    ctx: typer.Context,
    task: TaskId,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
) -> None:
    """Ask a running import to stop and to roll back; it does so within seconds."""
    imageport: Imageport = ctx.obj
    found = imageport.session(caller(user, project, roles)).cancel_task(task)
    print_line(f"task {found.id} is asked to stop; it rolls back within seconds")


def _lines(values: Mapping[str, Any]) -> Iterator[str]:
    """Return a line for each value, also for those of an inner mapping."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from (f"{name}: {inner}" for inner in _lines(value))
        else:
            yield f"{name}: {value}"


def _state(task: TaskRow) -> str:
    return "cancelling" if task.cancel_requested and not task.finished else task.status


def _describe(task: TaskRow) -> dict[str, Any]:
    plain = {field.name: getattr(task, field.name) for field in fields(task)}
    return {
        name: value.isoformat() if isinstance(value, datetime) else value for name, value in plain.items()
    }
