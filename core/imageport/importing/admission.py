"""Who may import what into which stores: decided before anything is fetched."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from imageport.catalog import Catalog
from imageport.configuration.positions import did_you_mean
from imageport.errors import Conflict, UsageError
from imageport.importing.plan import Plan
from imageport.plugins.binding import BoundStep
from imageport.values import RESERVED_PREFIX, Caller, ImageRecord

DISK_FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop")
CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")

# Lone surrogates are what the command line makes of bytes that are not UTF-8.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """What the caller asks for. ``image`` is the id or name of an existing record; without it one is made.

    ``stores`` names target stores instead of the pipeline's; ``all_stores`` means every writable one.
    """

    caller: Caller
    image: str | None = None
    name: str | None = None
    disk_format: str | None = None
    container_format: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    stores: tuple[str, ...] = ()
    all_stores: bool = False


def admit_record(request: ImportRequest, plan: Plan, catalog: Catalog) -> tuple[ImageRecord, bool]:
    """Return the record to import, and whether it has to be created.

    Raises ``UsageError`` for an unknown image, format or reserved property, and for what no database can keep.
    """
    caller = request.caller
    for what, texts in (
        ("name", [request.name]),
        ("property", [*request.properties, *request.properties.values()]),
        ("user", [caller.user]),
        ("project", [caller.project]),
        ("role", caller.roles),
    ):
        for text in texts:
            require_text(what, text)
    require_known("disk format", request.disk_format, DISK_FORMATS)
    require_known("container format", request.container_format, CONTAINER_FORMATS)
    if reserved := [name for name in request.properties if name.startswith(RESERVED_PREFIX)]:
        raise UsageError(
            f"property {reserved[0]} is reserved",
            hint=f"names beginning {RESERVED_PREFIX} are Imageport's own",
        )
    existing = catalog.find_image(request.image) if request.image else None
    if existing is None and plan.copies:
        raise UsageError("a copy needs an image", hint="name it: --image ID")
    record = existing or ImageRecord(
        id=str(uuid.uuid4()), name=request.name or _name_of(plan), owner=request.caller.user
    )
    if plan.copies and (
        request.disk_format or request.container_format or request.properties or request.name
    ):
        raise UsageError("a copy changes nothing on the record", hint="use 'imageport images set' for that")
    return as_requested(record, request, plan), existing is None


def as_requested(record: ImageRecord, request: ImportRequest, plan: Plan) -> ImageRecord:
    """Return *record* with what the caller wants it to be; a copy leaves it as it is."""
    if plan.copies:
        return record
    return record.evolve(
        name=request.name or record.name,
        disk_format=request.disk_format or record.disk_format,
        container_format=request.container_format or record.container_format or "bare",
        properties={**record.properties, **request.properties},
    )


def choose_targets(request: ImportRequest, plan: Plan, record: ImageRecord) -> tuple[BoundStep, ...]:
    """Return the stores to write, in the order of the pipeline, each once.

    For a copy those that hold the image already are left out, unless they were asked for by name: that is a
    ``Conflict``. Raises ``UsageError`` for unknown and for read-only stores.
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
        raise Conflict(
            f"store {', '.join(present)} holds image {record.id} already",
            hint="name only stores that lack it, or use --all-stores for all of those",
        )
    return tuple(store for store in writable if store.label not in holding)


def require_text(what: str, given: str | None) -> None:
    """Raise ``UsageError`` unless *given* is None or text that every database can keep."""
    if given is not None and _NO_TEXT.search(given):
        raise UsageError(f"{what} {given!a} is no text", hint="write it in UTF-8, without null characters")


def require_known(what: str, given: str | None, known: Sequence[str]) -> None:
    """Raise ``UsageError`` unless *given* is None or one of *known*."""
    if given is not None and given not in known:
        raise UsageError(
            f"unknown {what} '{given}'{did_you_mean(given, known)}", hint=f"known are: {', '.join(known)}"
        )


def _name_of(plan: Plan) -> str:
    source = plan.shown_source or ""
    path = source.partition("://")[2].partition("/")[2] if "://" in source else source.removeprefix("-")
    return path.rstrip("/").rpartition("/")[2] or plan.name
