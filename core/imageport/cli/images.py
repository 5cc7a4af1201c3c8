"""``imageport images``: the records of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from imageport.cli import image_data
from imageport.cli.options import DEFAULT_LIMIT, ImageName, Json, Limit, Project, Roles, User
from imageport.cli.output import (
    confirm_deletion,
    page_of,
    pairs,
    print_fields,
    print_json,
    print_line,
    print_table,
    short_time,
    with_next,
)
from imageport.cli.session import Session

if TYPE_CHECKING:
    from imageport.values import ImageRecord

app = typer.Typer(help="Show, make, change and delete images.", no_args_is_help=True)
app.command("stage")(image_data.stage_image)
app.command("export")(image_data.export_image)

Name = Annotated[str | None, typer.Option("--name", help="Name of the image.")]
DiskFormat = Annotated[
    str | None,
    typer.Option("--disk-format", metavar="FORMAT", help="Format of the disk, such as qcow2 or raw."),
]
ContainerFormat = Annotated[
    str | None,
    typer.Option("--container-format", metavar="FORMAT", help="Container around the disk, mostly bare."),
]
Properties = Annotated[
    list[str] | None,
    typer.Option("--property", metavar="NAME=VALUE", help="Property of the image; may be repeated."),
]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="Tag of the image; may be repeated.")]
MinDisk = Annotated[
    int | None, typer.Option("--min-disk", min=0, metavar="GB", help="Disk that a machine needs to boot it.")
]
MinRam = Annotated[
    int | None, typer.Option("--min-ram", min=0, metavar="MB", help="Memory that a machine needs to boot it.")
]
Protected = Annotated[
    bool | None, typer.Option("--protected/--unprotected", help="Whether the image cannot be deleted.")
]
Visibility = Annotated[
    str | None, typer.Option("--visibility", help="Who may use it: private, shared, community or public.")
]


@app.command("list")
def list_images(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    status: Annotated[
        str | None, typer.Option(help="Only images that are queued, uploading, importing, active, ...")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Only images of this name.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only images of this project or user.")] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option(
            "--property", metavar="NAME=VALUE", help="Only images with this property; may be repeated."
        ),
    ] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="Only images with this tag; may be repeated.")
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            metavar="KEY[:asc|:desc]", help="Order by created_at, updated_at, name or size, ascending or not."
        ),
    ] = "created_at:desc",
    limit: Limit = DEFAULT_LIMIT,
    marker: Annotated[
        str | None,
        typer.Option(metavar="IMAGE", help="Begin behind this image, the last of the page before."),
    ] = None,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
    json: Json = False,
) -> None:
    """List the images that the user sees, the newest first."""
    from imageport.access.texts import require_known
    from imageport.limits import format_size
    from imageport.values import ImageStatus

    require_known("status", status, get_args(ImageStatus))
    key, _, direction = sort.partition(":")
    require_known("key of --sort", key, ("created_at", "updated_at", "name", "size"))
    require_known("direction of --sort", direction or "asc", ("asc", "desc"))
    session: Session = ctx.obj
    access = session.access(user, project, roles)
    found = access.list_images(
        status=status,
        name=name,
        owner=owner,
        tags=_unique(tags or ()),
        properties=pairs("--property", properties or ()),
        sort=key,
        descending=direction == "desc",
        limit=with_next(limit),
        marker=access.find_image(marker).id if marker is not None else None,
    )
    images = page_of(found, limit)
    if json:
        print_json([image.as_dict() for image in images])
        return
    print_table(
        ("ID", "NAME", "STATUS", "FORMAT", "SIZE", "STORES"),
        (
            (
                image.id,
                image.name,
                image.status,
                image.disk_format,
                None if image.size is None else format_size(image.size),
                " ".join(location.store for location in image.locations),
            )
            for image in images
        ),
    )


@app.command("show")
def show_image(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    image: ImageName,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
    json: Json = False,
) -> None:
    """Show one image with its properties and the places of its copies."""
    session: Session = ctx.obj
    access = session.access(user, project, roles)
    _show(access.shown(access.find_image(image)), json=json)


@app.command("create")
def create_image(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    name: Name = None,
    disk_format: DiskFormat = None,
    container_format: ContainerFormat = None,
    properties: Properties = None,
    tags: Tags = None,
    min_disk: MinDisk = None,
    min_ram: MinRam = None,
    protected: Protected = None,
    visibility: Visibility = None,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
    json: Json = False,
) -> None:
    """Make a record without data, to be imported into later."""
    from imageport.app.events import telling_context
    from imageport.app.records import create_record
    from imageport.events import ImageEvent

    session: Session = ctx.obj
    fields = _given(
        name=name,
        disk_format=disk_format,
        container_format=container_format,
        tags=_unique(tags or ()) or None,
        min_disk=min_disk,
        min_ram=min_ram,
        protected=protected,
        visibility=visibility,
    )
    access = session.access(user, project, roles)
    with telling_context(session.site, session.registry, access.caller) as context:
        record = create_record(access, properties=pairs("--property", properties or ()), **fields)
        context.send(ImageEvent(kind="image.create", image_id=record.id, record=record))
    _show(access.shown(record), json=json)


@app.command("set")
def set_image(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    image: ImageName,
    name: Name = None,
    disk_format: DiskFormat = None,
    container_format: ContainerFormat = None,
    properties: Properties = None,
    removed: Annotated[
        list[str] | None,
        typer.Option("--remove-property", metavar="NAME", help="Property to remove; may be repeated."),
    ] = None,
    tags: Tags = None,
    removed_tags: Annotated[
        list[str] | None, typer.Option("--remove-tag", metavar="TAG", help="Tag to remove; may be repeated.")
    ] = None,
    min_disk: MinDisk = None,
    min_ram: MinRam = None,
    protected: Protected = None,
    visibility: Visibility = None,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
    json: Json = False,
) -> None:
    """Change fields and properties of an image. Its formats can change only while it is queued."""
    from imageport.app.events import telling_context
    from imageport.app.records import change_record
    from imageport.events import ImageEvent

    session: Session = ctx.obj
    access = session.access(user, project, roles)
    record = access.find_image(image)
    kept = [tag for tag in record.tags if tag not in (removed_tags or ())]
    fields = _given(
        name=name,
        disk_format=disk_format,
        container_format=container_format,
        tags=_unique([*kept, *(tags or ())]) if tags or removed_tags else None,
        min_disk=min_disk,
        min_ram=min_ram,
        protected=protected,
        visibility=visibility,
    )
    changes: dict[str, str | None] = {
        **dict.fromkeys(removed or ()),
        **pairs("--property", properties or ()),
    }
    with telling_context(session.site, session.registry, access.caller) as context:
        record = change_record(access, record, properties=changes, **fields)
        context.send(ImageEvent(kind="image.update", image_id=record.id, record=record))
    _show(access.shown(record), json=json)


@app.command("delete")
def delete_image(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    image: ImageName,
    store: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Remove only the copy in this store; the last one stays."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Delete without a question; required without a terminal.")
    ] = False,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
) -> None:
    """Delete an image: its copies in all stores, its data in staging and its record."""
    from imageport.app.events import telling_context
    from imageport.app.records import delete_copy, delete_record
    from imageport.cli.summary import readable_location
    from imageport.importing.staging import Staging
    from imageport.importing.stores import Stores
    from imageport.text import printable

    session: Session = ctx.obj
    access = session.access(user, project, roles)
    record = access.find_image(image)
    if not yes:
        copies = f"{len(record.locations)} {'copy' if len(record.locations) == 1 else 'copies'}"
        named = f"image {record.id} ({printable(record.name or '')})"
        asked = f"{named} with {copies}" if store is None else f"the copy in {printable(store)} of {named}"
        confirm_deletion(asked)
    stores = Stores(session.registry)
    with telling_context(session.site, session.registry, access.caller) as context:
        if store is None:
            staging = Staging(session.site.staging.directory)
            removed = delete_record(access, record, stores, staging, context)
        else:
            removed = delete_copy(access, record, store, stores, context)
    for url in removed:
        print_line(f"removed {readable_location(url)}")
    print_line(
        f"deleted image {record.id}" if store is None else f"image {record.id} has no copy in {store} now"
    )


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _unique(tags: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tags))


def _show(image: ImageRecord, *, json: bool) -> None:
    from imageport.cli.summary import readable_location
    from imageport.limits import format_size

    if json:
        print_json(image.as_dict())
        return
    shown = image.as_dict()
    for field in ("size", "virtual_size"):
        if (count := shown[field]) is not None:
            shown[field] = f"{count} ({format_size(count)})"
    shown |= {
        "protected": "yes" if image.protected else "no",
        "created_at": short_time(image.created_at),
        "updated_at": short_time(image.updated_at),
        "tags": " ".join(image.tags),
        "properties": [f"{name}={value}" for name, value in sorted(image.properties.items())],
        "locations": [f"{copy.store}: {readable_location(copy.url)}" for copy in image.locations],
    }
    print_fields(shown)
