"""``imageport run``: import one image."""

from __future__ import annotations

import shlex
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from imageport.cli.options import PipelineFile, Settings, SourceUri
from imageport.cli.output import login_name, pairs
from imageport.cli.session import Session

if TYPE_CHECKING:
    from imageport.importing.admission import ImportRequest
    from imageport.importing.plan import Plan
    from imageport.importing.report import Report


def run(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    pipeline: PipelineFile,
    source: SourceUri = None,
    image: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Import into this existing image: its id, start of the id, or name."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the image. Default: that of the source.")] = None,
    disk_format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="What the bytes are declared to be, such as qcow2.")
    ] = None,
    container_format: Annotated[
        str | None, typer.Option(metavar="FORMAT", help="Container of the image. Default: bare.")
    ] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option("--property", metavar="NAME=VALUE", help="Property of the image; may be repeated."),
    ] = None,
    stores: Annotated[
        list[str] | None,
        typer.Option(
            "--store",
            metavar="ID",
            help="Write to this store only, of the pipeline or the site file; may be repeated.",
        ),
    ] = None,
    all_stores: Annotated[
        bool, typer.Option("--all-stores", help="Write to every store of the pipeline and of the site file.")
    ] = False,
    must_succeed: Annotated[
        bool | None,
        typer.Option(
            "--must-succeed/--allow-failure",
            help="Whether one failing store fails the import. Default: what the pipeline says.",
        ),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Who imports. Default: the login name.")] = None,
    project: Annotated[str | None, typer.Option(help="Project of the user.")] = None,
    roles: Annotated[
        list[str] | None,
        typer.Option("--role", metavar="ROLE", help="Role of the user; may be repeated. Default: member."),
    ] = None,
    settings: Settings = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print each event as a line of JSON; the last line is the report.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Import an image through a pipeline into one or more stores."""
    from imageport.importing.admission import ImportRequest
    from imageport.values import Caller

    if stores and all_stores:
        raise typer.BadParameter("--store and --all-stores exclude each other")
    session: Session = ctx.obj
    caller = Caller(user=user or login_name(), project=project, roles=frozenset(roles or ["member"]))
    request = ImportRequest(
        caller=caller,
        image=image,
        name=name,
        disk_format=disk_format,
        container_format=container_format,
        properties=pairs("--property", properties or ()),
        stores=tuple(stores or ()),
        all_stores=all_stores,
    )
    plan = _plan(session, pipeline, source, pairs("--set", settings or ()), request)
    if must_succeed is not None:
        plan = replace(plan, all_stores_must_succeed=must_succeed)
    report = _import(session, plan, request, json=json, quiet=quiet)
    _show(report, plan, request, json=json)
    raise typer.Exit(report.exit_code)


def _plan(
    session: Session, path: str, source: str | None, variables: dict[str, str], request: ImportRequest
) -> Plan:
    from imageport.configuration.pipeline import load_pipeline
    from imageport.importing.plan import make_plan

    return make_plan(
        load_pipeline(
            path,
            site=session.site,
            catalogue=session.catalogue,
            source_uri=source,
            variables=variables,
            require_source=True,
            more_stores=session.site.store_ids() if request.all_stores else request.stores,
        )
    )


def _import(session: Session, plan: Plan, request: ImportRequest, *, json: bool, quiet: bool) -> Report:
    from imageport.cli.progress import json_lines, named_observer
    from imageport.importing.interruption import Interruption
    from imageport.importing.runner import Importer

    if json:
        plan = replace(plan, observers=(*plan.observers, json_lines(plan.secrets, sys.stdout)))
    elif not quiet:
        name = "terminal" if sys.stderr.isatty() else "log"
        plan = replace(plan, observers=(*plan.observers, *named_observer(name, session.catalogue)))
    # What plugins print is no part of the result.
    with Interruption() as interruption, redirect_stdout(sys.stderr):
        return Importer(session.site, session.catalog, session.catalogue, interruption).run(plan, request)


def _show(report: Report, plan: Plan, request: ImportRequest, *, json: bool) -> None:
    from imageport.cli.progress import print_line
    from imageport.cli.summary import show_failure, show_success

    if json:
        print_line(report.as_dict(), plan.secrets, sys.stdout)
    elif report.image is not None and report.error is None:
        show_success(report, report.image)
    elif report.error is not None:
        show_failure(report, report.error, _same_again(report, request), plan.secrets)


def _same_again(report: Report, request: ImportRequest) -> str | None:
    """Return the command that tries once more, into the record that is there now."""
    if report.image is None or report.task_id is None or report.image.status != "queued":
        return None
    image = [] if request.image else ["--image", report.image.id]
    return shlex.join(["imageport", *sys.argv[1:], *image])
