"""``imageport images stage`` and ``export``: the data of images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imageport.cli.options import ImageName, Project, Roles, User
from imageport.cli.output import print_line
from imageport.cli.session import Session

if TYPE_CHECKING:
    from imageport.values import ImageRecord, Location


def stage_image(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    image: ImageName,
    file: Annotated[str, typer.Argument(metavar="FILE", help="File with the data, or - for standard input.")],
    size: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="BYTES", help="How many bytes the data has; if it has not, it is refused."
        ),
    ] = None,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
) -> None:
    """Put data in staging for a queued image, to be imported later."""
    from imageport.app.events import telling_context
    from imageport.app.transfer import require_staging_enabled, stage
    from imageport.importing.lease_keeper import Interruption
    from imageport.importing.staging import Staging
    from imageport.limits import format_size

    session: Session = ctx.obj
    require_staging_enabled(session.site)
    access = session.access(user, project, roles)
    record = access.find_image(image)
    access.require("modify_image", record)
    staging = Staging(session.site.staging.directory)
    telling = telling_context(session.site, session.registry, access.caller)
    with Interruption() as interruption, telling as context:
        count = stage(
            record.id,
            file,
            session.catalog,
            staging,
            context,
            size=size,
            quotas=session.site.quotas,
            interruption=interruption,
        )
    print_line(f"staged {format_size(count)} ({count} bytes) for image {record.id}")


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
    from imageport.app.housekeeping import maintenance_context
    from imageport.app.transfer import export, verified
    from imageport.errors import UsageError
    from imageport.importing.lease_keeper import Interruption
    from imageport.importing.stores import Stores

    session: Session = ctx.obj
    access = session.access(user, project, roles)
    record = access.find_image(image)
    access.require("download_image", record)
    location = _copy(record, store)
    if file == "-" and sys.stdout.isatty():
        raise UsageError("an image is not for a terminal", hint="name a file, or send the output into a pipe")
    with maintenance_context(session.site) as context:
        data = Stores(session.registry).read(location, context)
        if file == "-":
            for piece in verified(record, location.store, data).chunks():
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            return
        with Interruption() as interruption:
            export(record, location.store, data, Path(file), interruption=interruption, overwrite=force)
    print_line(f"exported image {record.id} from store {location.store} to {file}, size and digests verified")


def _copy(record: ImageRecord, store: str | None) -> Location:
    from imageport.errors import Conflict, UsageError

    if not record.locations:
        raise Conflict(
            f"image {record.id} is {record.status} and has no copy", hint="import data into it first"
        )
    for location in record.locations:
        if store in (None, location.store):
            return location
    holding = ", ".join(location.store for location in record.locations)
    raise UsageError(f"store '{store}' has no copy of image {record.id}", hint=f"copies are in: {holding}")
