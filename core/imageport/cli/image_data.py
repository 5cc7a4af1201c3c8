"""``imageport images stage`` and ``export``: the data of images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imageport.cli.options import ImageName, Project, Roles, User, caller
from imageport.cli.output import print_line

if TYPE_CHECKING:
    from imageport.app import Imageport


def stage_image(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    image: ImageName,
    file: Annotated[str, typer.Argument(metavar="FILE", help="File with the data, or - for standard input.")],
    size: Annotated[
        int | None,
        typer.Option(min=0, metavar="BYTES", help="Expected size; data of another size is refused."),
    ] = None,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
) -> None:
    """Put data in staging for a queued image, to be imported later."""
    from imageport.app import Interruption
    from imageport.limits import format_size

    imageport: Imageport = ctx.obj
    session = imageport.session(caller(user, project, roles))
    image_id = session.find_image(image).id
    data = sys.stdin.buffer if file == "-" else Path(file)
    with Interruption() as interruption:
        count = session.stage(image_id, data, size=size, interruption=interruption)
    print_line(f"staged {format_size(count)} ({count} bytes) for image {image_id}")


def export_image(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    image: ImageName,
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="File to write, or - for standard output (the default).")
    ] = "-",
    store: Annotated[
        str | None, typer.Option(metavar="ID", help="Read the copy in this store. Default: the first one.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite FILE.")] = False,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
) -> None:
    """Write the data of an image to a file, verifying every byte against the record."""
    from imageport.app import Interruption
    from imageport.errors import UsageError

    imageport: Imageport = ctx.obj
    session = imageport.session(caller(user, project, roles))
    if file != "-":
        with Interruption() as interruption:
            done = session.export(image, Path(file), store=store, overwrite=force, interruption=interruption)
        print_line(
            f"exported image {done.record.id} from store {done.store} to {file}, size and digests verified"
        )
        return
    with session.download(image, store) as download:
        if sys.stdout.isatty():
            raise UsageError(
                "an image is not for a terminal", hint="name a file, or send the output into a pipe"
            )
        for piece in download.chunks():
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
