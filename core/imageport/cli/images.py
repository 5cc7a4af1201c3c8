"""``imageport images``: the records of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from imageport.cli import image_data
from imageport.cli import image_options as options
from imageport.cli.image_options import given, unique
from imageport.cli.image_output import show_image as print_image
from imageport.cli.options import DEFAULT_LIMIT, ImageName, Json, Limit, Project, Roles, User, caller
from imageport.cli.output import (
    confirm_deletion,
    page_of,
    pairs,
    print_json,
    print_line,
    print_table,
    with_next,
)

if TYPE_CHECKING:
    from imageport.app import Imageport
    from imageport.values import ImageStatus

app = typer.Typer(help="Show, make, change and delete images.", no_args_is_help=True)
app.command("stage")(image_data.stage_image)
app.command("export")(image_data.export_image)


@app.command("list")
def list_images(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    status: options.StatusFilter = None,
    name: options.NameFilter = None,
    owner: options.OwnerFilter = None,
    properties: options.PropertyFilter = None,
    tags: options.TagFilter = None,
    sort: options.Sort = "created_at:desc",
    limit: Limit = DEFAULT_LIMIT,
    marker: options.Marker = None,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
    json: Json = False,
) -> None:
    """List the images that the user sees, the newest first."""
    imageport: Imageport = ctx.obj
    order = _order(sort)
    found = imageport.session(caller(user, project, roles)).list_images(
        status=cast("ImageStatus | None", status),
        name=name,
        owner=owner,
        tags=unique(tags),
        properties=pairs("--property", properties or ()),
        limit=with_next(limit),
        marker=marker,
        **order,
    )
    images = page_of(found, limit)
    if json:
        print_json([image.as_dict() for image in images])
        return
    from imageport.limits import format_size

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
    imageport: Imageport = ctx.obj
    print_image(imageport.session(caller(user, project, roles)).find_image(image), json=json)


@app.command("create")
def create_image(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    name: options.Name = None,
    disk_format: options.DiskFormat = None,
    container_format: options.ContainerFormat = None,
    properties: options.Properties = None,
    tags: options.Tags = None,
    min_disk: options.MinDisk = None,
    min_ram: options.MinRam = None,
    protected: options.Protected = None,
    visibility: options.Visibility = None,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
    json: Json = False,
) -> None:
    """Make a record without data, to be imported into later."""
    imageport: Imageport = ctx.obj
    fields = given(
        name=name,
        disk_format=disk_format,
        container_format=container_format,
        tags=unique(tags) or None,
        min_disk=min_disk,
        min_ram=min_ram,
        protected=protected,
        visibility=visibility,
    )
    session = imageport.session(caller(user, project, roles))
    record = session.create_image(properties=pairs("--property", properties or ()), **fields)
    print_image(record, json=json)


@app.command("set")
def set_image(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    image: ImageName,
    name: options.Name = None,
    disk_format: options.DiskFormat = None,
    container_format: options.ContainerFormat = None,
    properties: options.Properties = None,
    removed: options.RemovedProperties = None,
    tags: options.Tags = None,
    removed_tags: options.RemovedTags = None,
    min_disk: options.MinDisk = None,
    min_ram: options.MinRam = None,
    protected: options.Protected = None,
    visibility: options.Visibility = None,
    user: User = None,
    project: Project = None,
    roles: Roles = None,
    json: Json = False,
) -> None:
    """Change fields and properties of an image. Its formats can change only while it is queued."""
    imageport: Imageport = ctx.obj
    session = imageport.session(caller(user, project, roles))
    record = session.find_image(image)
    kept = [tag for tag in record.tags if tag not in (removed_tags or ())]
    fields = given(
        name=name,
        disk_format=disk_format,
        container_format=container_format,
        tags=unique([*kept, *(tags or ())]) if tags or removed_tags else None,
        min_disk=min_disk,
        min_ram=min_ram,
        protected=protected,
        visibility=visibility,
    )
    changes = {**dict.fromkeys(removed or ()), **pairs("--property", properties or ())}
    print_image(session.change_image(record.id, properties=changes, **fields), json=json)


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
    from imageport.cli.summary import readable_location
    from imageport.text import printable

    imageport: Imageport = ctx.obj
    session = imageport.session(caller(user, project, roles))
    record = session.find_image(image)
    if not yes:
        copies = f"{len(record.locations)} {'copy' if len(record.locations) == 1 else 'copies'}"
        named = f"image {record.id} ({printable(record.name or '')})"
        confirm_deletion(
            f"{named} with {copies}" if store is None else f"the copy in {printable(store)} of {named}"
        )
    removed = session.delete_image(record.id) if store is None else session.delete_copy(record.id, store)
    for url in removed:
        print_line(f"removed {readable_location(url)}")
    if store is None:
        print_line(f"deleted image {record.id}")
    else:
        print_line(f"image {record.id} has no copy in {store} now")


def _order(sort: str) -> Any:
    """Return the order that ``--sort`` names. Raises ``UsageError`` for an unknown one."""
    from imageport.access.texts import require_known

    key, _, direction = sort.partition(":")
    require_known("key of --sort", key, ("created_at", "updated_at", "name", "size"))
    require_known("direction of --sort", direction or "asc", ("asc", "desc"))
    return {"sort": key, "descending": direction == "desc"}
