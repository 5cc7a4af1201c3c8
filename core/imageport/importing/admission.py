"""Admit an import, or refuse it before anything is fetched: caller, source, stores."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from imageport.access.permissions import Access
from imageport.access.quotas import demand, demand_of_one
from imageport.access.texts import require_caller, require_known, require_property_texts, require_text
from imageport.errors import UsageError
from imageport.http.filenames import clean_name, has_suffix, name_in_path
from imageport.importing.plan import Plan
from imageport.plugins.binding import BoundStep
from imageport.text import did_you_mean
from imageport.values import MAX_NAME, Caller, ImageRecord

DISK_FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop")
#: For a disk format: whatever the bytes turn out to be. What a new image gets when nothing is declared.
AUTO = "auto"
CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """What the caller asks for. ``image`` is the id or name of an existing record; without it one is made.

    ``stores`` names target stores instead of the pipeline's; ``all_stores`` means every writable one. Both at once
    raise ``UsageError``. ``resume`` is the dead import to go on with, into its image.
    """

    caller: Caller
    image: str | None = None
    name: str | None = None
    disk_format: str | None = None
    container_format: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    stores: tuple[str, ...] = ()
    all_stores: bool = False
    resume: str | None = None

    def __post_init__(self) -> None:
        """Refuse two answers to one question."""
        if self.stores and self.all_stores:
            raise UsageError("--store and --all-stores exclude each other", hint="give one of them")


def admit_record(request: ImportRequest, plan: Plan, access: Access) -> tuple[ImageRecord, bool]:
    """Return the record to import, and whether it has to be created.

    Raises ``UsageError`` for an unknown image or format, for what no database can keep and for the only store that may
    fail; ``NotAllowed`` for properties that the caller may not set, ``OverQuota`` when the caller has too much already.
    """
    caller = request.caller
    require_caller(caller)
    known = {*access.site.store_ids(), *(store.label for store in plan.stores)}
    if not plan.all_stores_must_succeed and len(known) == 1:
        raise UsageError(
            f"store '{known.pop()}' is the only one, so it must succeed",
            hint="leave out --allow-failure, or all_stores_must_succeed of the pipeline",
        )
    require_text("name", request.name)
    require_property_texts(request.properties)
    require_known("disk format", request.disk_format, (*DISK_FORMATS, AUTO))
    require_known("container format", request.container_format, CONTAINER_FORMATS)
    access.catalog.require_room(demand(access.site.quotas, caller.owner, image_size_total=0))
    existing = access.find_image(request.image) if request.image is not None else None
    if existing is None and plan.copies:
        raise UsageError("a copy needs an image", hint="name it: --image ID")
    record = existing or ImageRecord(
        id=str(uuid.uuid4()),
        name=request.name or default_name(plan),
        owner=caller.owner,
        container_format=request.container_format or "bare",
    )
    if plan.copies and (
        request.disk_format or request.container_format or request.properties or request.name
    ):
        raise UsageError("a copy changes nothing on the record", hint="use 'imageport images set' for that")
    access.require_properties(record, request.properties)
    if existing is None:
        access.require("add_image", record)
        access.catalog.require_room(demand_of_one(access.site.quotas, caller.owner))
    return as_requested(record, request, plan), existing is None


def as_requested(record: ImageRecord, request: ImportRequest, plan: Plan) -> ImageRecord:
    """Return *record* with what the caller wants it to be; a copy leaves it as it is."""
    if plan.copies:
        return record
    declared = None if request.disk_format == AUTO else request.disk_format or record.disk_format
    return record.evolve(
        name=request.name or record.name,
        disk_format=declared,
        container_format=request.container_format or record.container_format,
        properties={**record.properties, **request.properties},
    )


def brings_formats(request: ImportRequest, record: ImageRecord, *, is_new: bool) -> bool:
    """Say whether the import knows, or will find, the formats that *record* needs.

    A new image gets what is found. For one that somebody has made before, both formats are declared, in the record
    or by the request; ``auto`` is a declaration, too. Raises ``UsageError`` where nothing looks at the bytes.
    """
    container = request.container_format or record.container_format
    disk = request.disk_format or record.disk_format or (AUTO if is_new else None)
    if disk == AUTO and container not in (None, "bare"):
        raise UsageError(
            f"nothing is found out about an image in the container {container}",
            hint=f"declare what it holds: --disk-format with one of {', '.join(DISK_FORMATS)}",
        )
    return disk is not None and container is not None


def choose_targets(request: ImportRequest, plan: Plan, record: ImageRecord) -> tuple[BoundStep, ...]:
    """Return the stores to write, in the order of the pipeline, each once.

    For a copy those that hold the image already are left out. Raises ``UsageError`` when such a store was asked for by
    name, and for unknown and read-only stores.
    """
    known = {store.label: store for store in plan.stores}
    for label in request.stores:
        if label not in known:
            raise UsageError(
                f"no store '{label}'{did_you_mean(label, known)}",
                hint=f"the pipeline has {', '.join(known)}; 'imageport stores list' shows those of the site file",
            )
        if "store_write" not in known[label].answers:
            raise UsageError(f"store '{label}' is read-only", hint="choose another store")
    chosen = [known[label] for label in dict.fromkeys(request.stores)] or list(known.values())
    writable = [store for store in chosen if "store_write" in store.answers]
    if not plan.copies:
        return tuple(writable)
    holding = {location.store for location in record.locations}
    if present := sorted(holding & set(request.stores)):
        raise UsageError(
            f"store {', '.join(present)} holds image {record.id} already",
            hint="name only stores that lack it, or use --all-stores for all of those",
        )
    return tuple(store for store in writable if store.label not in holding)


def default_name(plan: Plan) -> str:
    """Return the name of an image for which none is given: that of the file, or else of the pipeline."""
    source = plan.shown_source or ""
    if "://" in source:
        name = name_in_path(source.partition("://")[2].partition("/")[2])
    else:
        name = clean_name(source.rstrip("/").removeprefix("-"))
    return name or plan.name[:MAX_NAME]


def may_be_renamed(record: ImageRecord, plan: Plan) -> bool:
    """Return whether the name of *record* is a mere default, such as ``latest``: its source may have another."""
    return record.name == default_name(plan) and not has_suffix(record.name)
