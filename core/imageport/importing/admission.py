"""Admit an import, or refuse it before a byte is fetched: caller, record, source, stores, lease."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from imageport.access.permissions import Access
from imageport.access.quotas import demand, demand_of_one, demand_to_bring, require_few_copies
from imageport.access.texts import require_caller, require_known, require_property_texts, require_text
from imageport.catalog import Lease, TaskRow, data_is_staged, require_startable
from imageport.errors import UsageError
from imageport.events import ImageEvent
from imageport.http.filenames import clean_name, has_suffix, name_in_path
from imageport.importing.context_factory import Environment, HostContext
from imageport.importing.lease_keeper import LEASE_SECONDS
from imageport.importing.plan import Plan
from imageport.importing.recovery import (
    SHORT,
    OrphanFiles,
    recover_dead_import,
    remove_hidden_copies,
    require_resumable,
)
from imageport.importing.staging import remove
from imageport.partial_source import PartialSource
from imageport.plugins.binding import BoundStep
from imageport.plugins.capabilities import Targets
from imageport.redaction import redact_tree
from imageport.text import did_you_mean
from imageport.values import MAX_NAME, Caller, ImageRecord

DISK_FORMATS = ("ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop")
#: For a disk format: the detected one. The default of a new image.
AUTO = "auto"
CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")


@dataclass(frozen=True, kw_only=True)
class ImportRequest:
    """The request of a caller. ``image`` is the id or name of an existing record; without it one is made.

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
        """Refuse options that exclude each other."""
        if self.stores and self.all_stores:
            raise UsageError("--store and --all-stores exclude each other", hint="give one of them")


class Admission:
    """The way of one import up to its first byte: record, context, rules, stores, and the lease in the end.

    ``record`` and ``ctx`` are None before they are known. ``set_aside`` is the folder with the scratch data of the dead
    import that this one resumes. With ``named_by_source`` the image gets the name of the file at its source.
    """

    def __init__(self, env: Environment, request: ImportRequest) -> None:
        self.env = env
        self.request = request
        self.access = Access(env.site, env.catalog, request.caller)
        self.record: ImageRecord | None = None
        self.ctx: HostContext | None = None
        self.targets = Targets((), together=True)
        self.set_aside: Path | None = None
        self.named_by_source = False
        self._resumed: TaskRow | None = None
        self._is_new = False

    def examine(self, build: Callable[[ImageRecord], HostContext]) -> tuple[ImageRecord, HostContext]:
        """Return the record and the context of the import, which *build* makes, and choose ``targets``.

        Removes the leftovers of dead and failed imports of this image. Raises ``UsageError``, ``Conflict``,
        ``NotAllowed`` and ``OverQuota``.
        """
        plan, access = self.env.plan, self.access
        if self.request.resume is not None:
            self._resumed = require_resumable(
                self.request.resume, self.request.image, plan, access, self.env.staging
            )
            self.request = replace(self.request, image=self._resumed.image_id)
        record, self._is_new = admit_record(self.request, plan, access)
        self.record = record
        self.ctx = ctx = build(record)
        if not self._is_new:
            with self.env.interruption.raising():
                self.ctx = ctx = self._tidied(record, ctx)
            current = self.env.catalog.get_image(record.id)
            self.record = record = as_requested(current, self.request, plan)
        made_here = self._made_here
        self.named_by_source = made_here and not self.request.name and may_be_renamed(record, plan)
        brings = brings_formats(self.request, record, is_new=made_here)
        if not self.env.catalog.is_locked(record.id):
            require_startable(
                record,
                plan.method.plugin.starts_from,
                brings_formats=brings,
                brings_data=self._brings_data,
            )
        access.require("copy_image" if plan.copies else "modify_image", record)
        if ctx.staged is not None and self._brings_data:
            raise data_is_staged(record.id)
        self.targets = plan.targets(choose_targets(self.request, plan, record))
        return record, ctx

    def begin(self, record: ImageRecord, ctx: HostContext) -> Lease:
        """Let steps and stores judge the source, and take the lease of the image, which is made if it is new.

        Raises ``SourceRejected`` and the errors of the steps, ``StoreFailed`` for a store that cannot take the image or
        is not ready, ``Conflict``, ``LimitExceeded`` and ``OverQuota``.
        """
        site, plan, catalog = self.env.site, self.env.plan, self.env.catalog
        require_few_copies(site.limits, record, len(self.targets))
        with self.env.interruption.raising():
            for step in (plan.method, *plan.steps, *self.targets):
                step.validate_source(plan.source, record, ctx)
            self.targets.require(plan.facts_before(record))
            self.targets.examine(ctx)
        if self._is_new:
            created = catalog.create_image(record, demand=demand_of_one(site.quotas, record.owner))
            ctx.send(ImageEvent(kind="image.create", record=created))
        return catalog.begin_import(
            record.id,
            starts_from=plan.method.plugin.starts_from,
            request=redact_tree(
                {"pipeline": plan.name, "source": plan.shown_source, "method": plan.source.method},
                plan.secrets,
            ),
            owner=self.request.caller.owner,
            targets=[store.label for store in self.targets],
            lease_seconds=LEASE_SECONDS,
            brings_formats=brings_formats(self.request, record, is_new=self._made_here),
            brings_data=self._brings_data,
            demand=demand_to_bring(site.quotas, record, record.size),
        )

    def partial(self, folder: Path) -> PartialSource | None:
        """Return the spooled part of the source in the work folder, which gets the part of an earlier import."""
        if not self.env.plan.spool_first:
            return None
        if self.set_aside is not None:
            PartialSource(self.set_aside).move_to(folder)
            remove(self.set_aside)
        return PartialSource(folder)

    def close(self) -> None:
        """Remove the unused part of a dead import that was set aside."""
        if self.set_aside is not None:
            shutil.rmtree(self.set_aside, ignore_errors=True)

    @property
    def _made_here(self) -> bool:
        # A record that was good enough for the dead import still is.
        return self._is_new or self._resumed is not None

    @property
    def _brings_data(self) -> bool:
        return self.env.plan.source.uri is not None and not self.env.plan.copies

    def _tidied(self, record: ImageRecord, ctx: HostContext) -> HostContext:
        """Remove the leftovers of dead and failed imports of this image; staged data may go with them."""
        env = self.env
        # A store that is stuck gets its whole patience when it is written to.
        seconds_left = env.interruption.countdown(min(SHORT, env.site.limits.store_patience))
        if self._resumed is not None:
            self.set_aside = env.staging.set_aside(record.id, self._resumed.id)
        if (dead := env.catalog.dead_import(record.id)) is not None:
            recover_dead_import(dead, env.catalog, env.stores, env.staging, ctx, seconds_left=seconds_left)
        remove_hidden_copies(record.id, env.catalog, env.stores, ctx, seconds_left=seconds_left)
        if not env.plan.copies:  # a copy may read what is in staging
            OrphanFiles(env.catalog, env.staging).clear(record.id, besides=self.set_aside)
        return replace(ctx, staged=env.staging.staged(record.id))


def admit_record(request: ImportRequest, plan: Plan, access: Access) -> tuple[ImageRecord, bool]:
    """Return the record to import, and whether it has to be created.

    Raises ``UsageError`` for an unknown image or format, for text that no database can keep and for the only store that
    may fail; ``NotAllowed`` for properties that the caller may not set, ``OverQuota`` when the caller has too much
    already.
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
    """Return *record* with the fields from the caller; a copy leaves it as it is."""
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
    """Return whether the import knows, or will find, the formats that *record* needs.

    A new image gets the detected formats. For one that was made before, both formats are declared, in the record
    or by the request; ``auto`` is a declaration, too. Raises ``UsageError`` where nothing looks at the bytes.
    """
    container = request.container_format or record.container_format
    disk = request.disk_format or record.disk_format or (AUTO if is_new else None)
    if disk == AUTO and container not in (None, "bare"):
        article = "an" if container[0] in "aeiou" else "a"
        raise UsageError(
            f"the disk format inside {article} {container} container cannot be detected",
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
