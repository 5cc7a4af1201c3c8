"""``imageport run``: import one image."""

from __future__ import annotations

import gc
import shlex
import sys
from collections.abc import Collection, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from imageport.cli.options import PipelineFile, Project, Roles, Settings, SourceUri, User
from imageport.cli.output import give_up_unwritten, pairs
from imageport.cli.session import Session, caller

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
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="TASK",
            help="Go on with the download of this import, which was killed: give the same pipeline, with "
            "'staging: file', the same source and the same options.",
        ),
    ] = None,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
    settings: Settings = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print each event as a line of JSON; the last line is the report.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Import an image through a pipeline into one or more stores."""
    from imageport.errors import ImageportError
    from imageport.importing.admission import ImportRequest
    from imageport.importing.report import Report

    session: Session = ctx.obj
    try:
        request = ImportRequest(
            caller=caller(user, project, roles),
            image=image,
            name=name,
            disk_format=disk_format,
            container_format=container_format,
            properties=pairs("--property", properties or ()),
            stores=tuple(stores or ()),
            all_stores=all_stores,
            resume=resume,
        )
        plan = _plan(session, pipeline, source, pairs("--set", settings or ()), request)
        if must_succeed is not None:
            plan = replace(plan, terms=replace(plan.terms, all_stores_must_succeed=must_succeed))
        report = _import(session, plan, request, json=json, quiet=quiet)
    except ImageportError as error:
        if not json:
            raise
        report = Report(error=error)
    try:
        _show(report, session.secrets, image, json=json)
    except OSError as error:
        # The import is over, and what became of it is what the exit code tells.
        _tell_unwritten(report, error)
    raise typer.Exit(report.exit_code)


def _plan(
    session: Session, path: str, source: str | None, variables: dict[str, str], request: ImportRequest
) -> Plan:
    from imageport.configuration.pipeline import load_pipeline
    from imageport.importing.plan import make_plan

    configured = load_pipeline(
        path,
        site=session.site,
        registry=session.registry,
        source_uri=source,
        variables=variables,
        require_source=True,
        more_stores=session.site.store_ids() if request.all_stores else request.stores,
    )
    session.secrets |= configured.secrets
    return make_plan(configured)


def _import(session: Session, plan: Plan, request: ImportRequest, *, json: bool, quiet: bool) -> Report:
    from imageport.access.permissions import Access
    from imageport.cli.progress import json_lines, named_observer
    from imageport.configuration import defaults
    from imageport.importing.importer import Importer
    from imageport.importing.lease_keeper import Interruption

    access = Access(session.site, session.catalog, request.caller)
    # What the start has made stays; what an import throws away may hold large buffers, so look for it as usual.
    gc.freeze()
    gc.set_threshold(700)
    if json:
        plan = replace(plan, observers=(*plan.observers, json_lines(plan.secrets, sys.stdout, access.shown)))
    elif not quiet:
        name = defaults.TERMINAL_OBSERVER if sys.stderr.isatty() else defaults.OBSERVER
        plan = replace(plan, observers=(*plan.observers, *named_observer(name, session.registry)))
    # What plugins print is no part of the result.
    with Interruption() as interruption, redirect_stdout(sys.stderr):
        report = Importer(session.site, session.catalog, session.registry, interruption).run(plan, request)
    if report.image is not None:
        report.image = access.shown(report.image)
    return report


def _show(report: Report, secrets: Collection[str], image: str | None, *, json: bool) -> None:
    from imageport.cli.progress import print_json_line
    from imageport.cli.summary import show_failure, show_success

    if json:
        print_json_line(report.as_dict(), secrets, sys.stdout)
    elif report.image is not None and report.error is None:
        show_success(report, report.image)
    elif report.error is not None:
        show_failure(report, report.error, _same_again(report, image), secrets)


def _tell_unwritten(report: Report, error: OSError) -> None:
    image = report.image
    outcome = f"image {image.id} is {image.status}" if image else "nothing was imported"
    with suppress(OSError):
        typer.echo(f"error: {outcome}, but the report cannot be written: {error.strerror}", err=True)
    for stream in (sys.stdout, sys.stderr):
        give_up_unwritten(stream)


def _without_resume(words: Sequence[str]) -> list[str]:
    """Return a command line without ``--resume TASK``: that task is over."""
    return [
        word
        for before, word in zip(["", *words], words, strict=False)
        if before != "--resume" and word != "--resume" and not word.startswith("--resume=")
    ]


def _same_again(report: Report, image: str | None) -> str | None:
    """Return the command that tries once more, into the record that is there now."""
    if report.image is None or report.task_id is None or report.image.status != "queued":
        return None
    into = [] if image else ["--image", report.image.id]
    if report.image.disk_format is None and not any(word.startswith("--disk-format") for word in sys.argv):
        into += ["--disk-format", "auto"]
    again = shlex.join(["imageport", *_without_resume(sys.argv[1:]), *into])
    # Without a source the data was in staging, and went with the failed import.
    return again if report.source.uri else f"imageport images stage {report.image.id} FILE; {again}"
