"""``imageport run``: import one image."""

from __future__ import annotations

import gc
import shlex
import sys
from collections.abc import Collection, Sequence
from contextlib import redirect_stdout, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from imageport.cli.options import PipelineFile, PluginFiles, Project, Roles, Settings, SourceUri, User, caller
from imageport.cli.output import give_up_unwritten, pairs

if TYPE_CHECKING:
    from imageport.app import Imageport, PreparedImport, Report
    from imageport.errors import ImageportError
    from imageport.events import Event

ImageId = Annotated[
    str | None,
    typer.Option(metavar="ID", help="Import into this existing image: its id, start of the id, or name."),
]
Name = Annotated[str | None, typer.Option(help="Name of the image. Default: that of the source.")]
DiskFormat = Annotated[
    str | None, typer.Option(metavar="FORMAT", help="The declared disk format of the bytes, such as qcow2.")
]
ContainerFormat = Annotated[
    str | None, typer.Option(metavar="FORMAT", help="Container of the image. Default: bare.")
]
Properties = Annotated[
    list[str] | None,
    typer.Option("--property", metavar="NAME=VALUE", help="Property of the image; may be repeated."),
]
TargetStores = Annotated[
    list[str] | None,
    typer.Option(
        "--store",
        metavar="ID",
        help="Write to this store only, of the pipeline or the site file; may be repeated.",
    ),
]
AllStores = Annotated[
    bool, typer.Option("--all-stores", help="Write to every store of the pipeline and of the site file.")
]
MustSucceed = Annotated[
    bool | None,
    typer.Option(
        "--must-succeed/--allow-failure",
        help="Whether one failing store fails the import. Default: that of the pipeline.",
    ),
]
Resume = Annotated[
    str | None,
    typer.Option(
        metavar="TASK",
        help="Go on with the download of this import, which was killed: give the same pipeline, with "
        "'staging: file', the same source and the same options.",
    ),
]
JsonLines = Annotated[
    bool, typer.Option("--json", help="Print each event as a line of JSON; the last line is the report.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


def run(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    pipeline: PipelineFile,
    source: SourceUri = None,
    image: ImageId = None,
    name: Name = None,
    disk_format: DiskFormat = None,
    container_format: ContainerFormat = None,
    properties: Properties = None,
    stores: TargetStores = None,
    all_stores: AllStores = False,
    must_succeed: MustSucceed = None,
    resume: Resume = None,
    plugins: PluginFiles = None,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
    settings: Settings = None,
    json: JsonLines = False,
    quiet: Quiet = False,
) -> None:
    """Import an image through a pipeline into one or more stores."""
    from imageport.errors import ImageportError

    imageport: Imageport = ctx.obj
    try:
        for file in plugins or ():
            imageport.add_plugin_file(file)
        prepared = imageport.session(caller(user, project, roles)).prepare_import(
            pipeline,
            source,
            image=image,
            name=name,
            disk_format=disk_format,
            container_format=container_format,
            properties=pairs("--property", properties or ()),
            stores=stores or (),
            all_stores=all_stores,
            resume=resume,
            variables=pairs("--set", settings or ()),
            all_stores_must_succeed=must_succeed,
        )
        report = _import(prepared, imageport.secrets, json=json, quiet=quiet)
    except ImageportError as error:
        if not json:
            raise
        report = _failed(error)
    try:
        _show(report, imageport.secrets, image, json=json)
    except OSError as error:
        # The import is over, and the exit code is that of its outcome.
        _report_unwritten(report, error)
    raise typer.Exit(report.exit_code)


def _failed(error: ImageportError) -> Report:
    from imageport.app import Report

    return Report(error=error)


def _import(prepared: PreparedImport, secrets: Collection[str], *, json: bool, quiet: bool) -> Report:
    from imageport.app import Interruption
    from imageport.cli.progress import print_json_line

    output = sys.stdout

    def print_event(event: Event) -> None:
        print_json_line(event.as_dict(), secrets, output)

    # Objects of the start stay; garbage of an import may hold large buffers, so collect it as usual.
    gc.freeze()
    gc.set_threshold(700)
    observers = () if json or quiet else ("terminal" if sys.stderr.isatty() else "log",)
    # The result does not contain what plugins print.
    with Interruption() as interruption, redirect_stdout(sys.stderr):
        return prepared.run(
            on_event=print_event if json else None, observers=observers, interruption=interruption
        )


def _show(report: Report, secrets: Collection[str], image: str | None, *, json: bool) -> None:
    from imageport.cli.progress import print_json_line
    from imageport.cli.summary import show_failure, show_success

    if json:
        print_json_line(report.as_dict(), secrets, sys.stdout)
    elif report.image is not None and report.error is None:
        show_success(report, report.image)
    elif report.error is not None:
        show_failure(report, report.error, _same_again(report, image), secrets)


def _report_unwritten(report: Report, error: OSError) -> None:
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
