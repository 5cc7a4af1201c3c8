"""Fields of images, and options of imports, that a caller may give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict

#: Fields by which images are sorted.
ImageOrder = Literal["created_at", "updated_at", "name", "size"]

#: Statuses of an import.
TaskStatus = Literal["pending", "processing", "success", "failure"]


class ImageFields(TypedDict, total=False):
    """Fields of an image that a caller may set: disk in GB, memory in MB. A field that is left out stays as it is."""

    name: str
    disk_format: str
    container_format: str
    tags: tuple[str, ...]
    min_disk: int
    min_ram: int
    protected: bool
    visibility: str


class ImportOptions(TypedDict, total=False):
    """Options of an import beside its pipeline and source.

    ``image`` is the id, its beginning, or the name of the image to import into; without it a new one is made.
    ``name``, ``disk_format``, ``container_format`` and ``properties`` describe it. ``stores`` are ids of stores to
    write to instead of those of the pipeline, and ``all_stores`` adds all stores of the site file. ``resume`` is the id
    of a dead import whose download goes on. ``variables`` are values of the pipeline's variables, and
    ``all_stores_must_succeed`` comes before that of the pipeline.
    """

    image: str | None
    name: str | None
    disk_format: str | None
    container_format: str | None
    properties: Mapping[str, str]
    stores: Sequence[str]
    all_stores: bool
    resume: str | None
    variables: Mapping[str, str]
    all_stores_must_succeed: bool | None
