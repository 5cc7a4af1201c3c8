"""Options for the fields of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

if TYPE_CHECKING:
    from imageport.app import ImageFields

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
RemovedProperties = Annotated[
    list[str] | None,
    typer.Option("--remove-property", metavar="NAME", help="Property to remove; may be repeated."),
]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="Tag of the image; may be repeated.")]
RemovedTags = Annotated[
    list[str] | None, typer.Option("--remove-tag", metavar="TAG", help="Tag to remove; may be repeated.")
]
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

StatusFilter = Annotated[
    str | None, typer.Option(help="Only images that are queued, uploading, importing, active, ...")
]
NameFilter = Annotated[str | None, typer.Option(help="Only images of this name.")]
OwnerFilter = Annotated[str | None, typer.Option(help="Only images of this project or user.")]
PropertyFilter = Annotated[
    list[str] | None,
    typer.Option("--property", metavar="NAME=VALUE", help="Only images with this property; may be repeated."),
]
TagFilter = Annotated[
    list[str] | None, typer.Option("--tag", help="Only images with this tag; may be repeated.")
]
Sort = Annotated[
    str,
    typer.Option(
        metavar="KEY[:asc|:desc]", help="Order by created_at, updated_at, name or size, ascending or not."
    ),
]
Marker = Annotated[
    str | None, typer.Option(metavar="IMAGE", help="Begin behind this image, the last of the page before.")
]


def given(**fields: Any) -> ImageFields:
    """Return the fields that the caller has given."""
    return cast("ImageFields", {name: value for name, value in fields.items() if value is not None})


def unique(tags: Sequence[str] | None) -> tuple[str, ...]:
    """Return *tags* without those that come again."""
    return tuple(dict.fromkeys(tags or ()))
