"""The journey of one import: admitted, staged, transformed, written, and brought to its end."""

from __future__ import annotations

import gc
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from imageport.access.permissions import Access
from imageport.access.quotas import demand_of_one, demand_to_bring, demand_to_keep, require_few_copies
from imageport.catalog import Catalog, TaskRow, data_is_staged, require_startable
from imageport.configuration.site import Site
from imageport.errors import ImageportError, ImportFailed, VerificationFailed
from imageport.events import CheckEvent, Event, ImageEvent, ProgressEvent, ReportEvent, SourceEvent, TaskEvent
from imageport.importing.admission import (
    ImportRequest,
    admit_record,
    as_requested,
    brings_formats,
    choose_targets,
    may_be_renamed,
)
from imageport.importing.context_factory import HostContext, build_context
from imageport.importing.ending import Ending, kept
from imageport.importing.first_look import look_first
from imageport.importing.interruption import Interruption
from imageport.importing.journey import Journey
from imageport.importing.lease import LEASE_SECONDS, LeaseKeeper
from imageport.importing.observing import Observers
from imageport.importing.orphan_files import OrphanFiles
from imageport.importing.plan import Plan
from imageport.importing.recovery import recover_dead_import, remove_hidden_copies
from imageport.importing.report import Report, StoreReport, check_dict
from imageport.importing.resuming import require_resumable
from imageport.importing.staging import Staging, remove
from imageport.importing.stores import Stores
from imageport.importing.tries import Tries
from imageport.importing.verdict import compare_with_record, digests_to_make, judge
from imageport.importing.writing import WrittenImage, store_report, write_everywhere
from imageport.partial import PartialSource
from imageport.plugins.binding import BoundStep
from imageport.plugins.registry import PluginRegistry
from imageport.redaction import redact_tree
from imageport.values import Image, ImageRecord, Location

log = logging.getLogger("imageport")


class Importer:
    """Runs imports with the catalog, plugins and rules of one site."""

    def __init__(
        self, site: Site, catalog: Catalog, registry: PluginRegistry, interruption: Interruption
    ) -> None:
        self.site = site
        self.catalog = catalog
        self.registry = registry
        self.interruption = interruption

    def run(self, plan: Plan, request: ImportRequest) -> Report:
        """Run one import and return its report; a failed one is rolled back, and its error is in the report."""
        run = _Import(self, plan, request)
        try:
            run.admit()
        except ImageportError as error:
            run.report.error = error
        except Exception as error:
            log.exception("internal error")
            run.report.error = _internal(error)
        return run.conclude()


class _Import:
    """The state of one import."""

    def __init__(self, importer: Importer, plan: Plan, request: ImportRequest) -> None:
        self.site = importer.site
        self.catalog = importer.catalog
        self.interruption = importer.interruption
        self.plan = plan
        self.request = request
        self.stores = Stores(importer.registry, plan.stores, plan.definitions)
        self.staging = Staging(importer.site.staging.directory)
        self.observers = Observers([*plan.observers, *plan.steps])
        self.started = time.monotonic()
        self.report = Report(plan=plan.describe())
        self.report.source.uri = plan.shown_source
        self.ctx: HostContext | None = None
        self.record: ImageRecord | None = None
        self.journey = Journey(plan)
        self.progress: dict[str, Any] = {}
        self.written = WrittenImage()
        self.ending: Ending | None = None
        self.resumed: TaskRow | None = None
        self.set_aside: Path | None = None
        self.named_by_source = False

    # ------------------------------------------------------------------------------------- before any byte

    def admit(self) -> None:
        """Make sure that this import may start, take the lock, and go."""
        plan = self.plan
        self.access = access = Access(self.site, self.catalog, self.request.caller)
        if self.request.resume is not None:
            self.resumed = require_resumable(self.request, plan, access, self.staging)
            self.request = replace(self.request, image=self.resumed.image_id)
        record, is_new = admit_record(self.request, plan, access)
        self.record = record
        self.ctx = ctx = build_context(
            self.site, plan, record, self.request.caller,
            stores=self.stores,
            observers=self.observers,
            interruption=self.interruption,
            announce=self._announce,
            note=self._note,
        )  # fmt: skip
        if not is_new:
            with self.interruption.raising():
                ctx = self._tidied(record, ctx)
            self.record = record = as_requested(self.catalog.get_image(record.id), self.request, plan)
        # What was good enough for the import that died still is.
        made_here = is_new or self.resumed is not None
        brings = brings_formats(self.request, record, is_new=made_here)
        brings_data = plan.source.uri is not None and not plan.copies
        self.named_by_source = made_here and not self.request.name and may_be_renamed(record, plan)
        if not self.catalog.is_locked(record.id):
            require_startable(
                record, plan.method.plugin.starts_from, brings_formats=brings, brings_data=brings_data
            )
        access.require("copy_image" if plan.copies else "modify_image", record)
        if ctx.staged is not None and brings_data:
            raise data_is_staged(record.id)
        targets = choose_targets(self.request, plan, record)
        writable = [store.label for store in plan.stores if "store_write" in store.answers]
        self.report.stores = {label: StoreReport() for label in writable}
        if not targets:
            self.report.status = "success"
            return
        require_few_copies(self.site.limits, record, len(targets))
        with self.interruption.raising():
            for step in (plan.method, *plan.steps, *targets):
                step.validate_source(plan.source, record, ctx)
        if is_new:
            one_more = demand_of_one(self.site.quotas, record.owner)
            created = self.catalog.create_image(record, demand=one_more)
            ctx.send(ImageEvent(kind="image.create", record=created))
        self.lease = self.catalog.begin_import(
            record.id,
            starts_from=plan.method.plugin.starts_from,
            request=redact_tree(
                {"pipeline": plan.name, "source": plan.shown_source, "method": plan.source.method},
                plan.secrets,
            ),
            owner=self.request.caller.owner,
            targets=[store.label for store in targets],
            lease_seconds=LEASE_SECONDS,
            brings_formats=brings,
            brings_data=brings_data,
            demand=demand_to_bring(self.site.quotas, record, record.size),
        )
        self.report.task_id = self.lease.task_id
        # A user may have changed the record while the source was judged, and a recovery has.
        record = as_requested(self.lease.before, self.request, plan)
        self._run_locked(record, targets, replace(ctx, task_id=self.lease.task_id))

    def _tidied(self, record: ImageRecord, ctx: HostContext) -> HostContext:
        """Remove what imports of this image that died or failed have left; staged data may go with it."""
        if self.resumed is not None:
            self.set_aside = self.staging.set_aside(record.id, self.resumed.id)
        if (dead := self.catalog.dead_import(record.id)) is not None:
            recover_dead_import(dead, self.catalog, self.stores, self.staging, ctx)
        remove_hidden_copies(record.id, self.catalog, self.stores, ctx)
        if not self.plan.copies:  # a copy may read what is in staging
            OrphanFiles(self.catalog, self.staging).clear(record.id, besides=self.set_aside)
        return replace(ctx, staged=self.staging.staged(record.id))

    # -------------------------------------------------------------------------------------- under the lock

    def _run_locked(self, record: ImageRecord, targets: Sequence[BoundStep], ctx: HostContext) -> None:
        keeper = LeaseKeeper(
            self.lease, self.interruption, self.progress, deadline=self.site.limits.import_deadline
        )
        self.ending = ending = Ending(
            site=self.site,
            plan=self.plan,
            catalog=self.catalog,
            stores=self.stores,
            staging=self.staging,
            lease=self.lease,
            keeper=keeper,
            interruption=self.interruption,
            written=self.written,
            evidence=self.journey.evidence,
            report=self.report,
            record=record,
        )
        with keeper:
            try:
                with self.staging.work_folder(record.id, self.lease.task_id) as folder:
                    ctx = replace(ctx, work_folder=folder, partial=self._partial(folder))
                    image = self._travel(record, targets, ctx, ending)
                    keeper.check()
                    judged = self._judged(image, ctx)
                    self._reserve(judged, sum(not copy.failed for copy in self.written.copies.values()))
                    ending.settle(judged, ctx)
                ending.finish(ctx)
            except BaseException as error:
                cause = keeper.reason or ending.lost() or _told(error)
                ending.roll_back(cause, targets, ctx)
                raise cause from error

    def _partial(self, folder: Path) -> PartialSource | None:
        """Return what is spooled of the source in the work folder, which gets what an import before has left."""
        if not self.plan.spool_first:
            return None
        if self.set_aside is not None:
            PartialSource(self.set_aside).move_to(folder)
            remove(self.set_aside)
        return PartialSource(folder)

    def _travel(
        self, record: ImageRecord, targets: Sequence[BoundStep], ctx: HostContext, ending: Ending
    ) -> Image:
        ctx.send(TaskEvent(kind="task.create"))
        self.lease.start()
        ctx.send(TaskEvent(kind="task.processing"))
        ctx.send(ImageEvent(kind="image.update", record=ending.current()))
        if self.lease.refusal is not None:
            raise self.lease.refusal
        self._reserve(record, len(targets))
        tries = Tries(self.plan.method, ctx)
        with self.interruption.raising():
            while True:
                try:
                    image = self._write(record, targets, tries.ctx)
                    if self.plan.copies:
                        self._compare(image.record, tries.store)
                    return image
                except ImageportError as error:
                    if not tries.another(error, begun=self.journey.begun):
                        if tries.made > 1:
                            error.message += f" (after {tries.made} tries)"
                        raise
                    self._begin_again(error, ctx)
                # Errors and the frames in their tracebacks refer to each other, and keep the buffers of this try.
                gc.collect()

    def _compare(self, record: ImageRecord, store: str | None) -> None:
        try:
            compare_with_record(record, self.written, store)
        except ImageportError as error:
            raise self.plan.method.blamed(error, "stage") from None

    def _begin_again(self, error: ImageportError, ctx: HostContext) -> None:
        # A handler that keeps its records must not keep the error, whose traceback holds buffers.
        log.warning("%s; the image is read again from the beginning", str(error))
        if self.plan.copies and isinstance(error, VerificationFailed):
            # The damaged copy stays where it is.
            log.warning("%s", error.hint)
        if self.report.source.url is not None:
            ctx.send(SourceEvent(step=error.step, message=self.report.source.url, error=error.message))
        self.written.restart()
        self.journey.restart()
        if ctx.partial is not None:
            ctx.partial.forget()
        for path in ctx.work_folder.iterdir():
            remove(path)

    def _write(self, record: ImageRecord, targets: Sequence[BoundStep], ctx: HostContext) -> Image:
        image = self.journey.bring(record, self.access, ctx, named_by_source=self.named_by_source)
        inspect = not self.plan.copies and image.record.container_format == "bare"
        if inspect:
            image, self.written.format = look_first(image, ctx)
        write_everywhere(
            image, targets, ctx,
            digests=digests_to_make(self.lease.before, self.site, copies=self.plan.copies),
            copies=self.plan.copies,
            inspect=inspect and self.written.format is None,
            all_must_succeed=self.plan.all_stores_must_succeed,
            written=self.written,
            slowest_stage=self.journey.slowest,
        )  # fmt: skip
        return image

    def _reserve(self, record: ImageRecord, copies: int) -> None:
        """Reserve the bytes of all copies, as soon as the size is known and again when it is certain."""
        stored = (record.size or 0) * (len(record.locations) + copies)
        demand = demand_to_keep(self.site.quotas, record, stored)
        if demand.quotas:
            self.lease.reserve(stored, demand)

    def _judged(self, image: Image, ctx: HostContext) -> ImageRecord:
        self.journey.check_drained()
        if self.plan.copies:
            return image.record
        if self.plan.trust == "signed":
            self.journey.evidence.require_signer()
        return judge(image, self.written, ctx.inspection, self.site.digests)

    # ------------------------------------------------------------------------------------------ the report

    def conclude(self) -> Report:
        """Complete the report and show it to the observers."""
        if self.set_aside is not None:
            shutil.rmtree(self.set_aside, ignore_errors=True)
        report = self.report
        report.image = self.ending.record if self.ending else self.record
        published = self.ending.published if self.ending else {}
        for label, copy in self.written.copies.items():
            report.stores[label] = store_report(copy, published=label in published)
        report.stages = self.journey.stages()
        report.source.bytes_read, report.source.resumed = self.journey.bytes_read, self.journey.resumed
        report.source.digests = self.journey.evidence.source_digests(self.written.digests)
        report.digests = self.written.digests
        report.waited_for = self.written.waited_for
        report.seconds = time.monotonic() - self.started
        if self.ctx is not None:
            replace(self.ctx, task_id=report.task_id or "").send(ReportEvent(detail=report.as_dict()))
            self.observers.close()
            self.ctx.http.close()
        return report

    def _note(self, event: Event) -> None:
        match event:
            case ProgressEvent():
                self.progress[event.lane] = event.done
            case SourceEvent():
                self.report.source.note(event)
            case CheckEvent():
                self.journey.evidence.take(event)
                self.report.source.checks.append(check_dict(event))

    def _announce(self, label: str, location: Location) -> None:
        self.lease.announce(kept(location, label, self.plan))


def _told(error: BaseException) -> ImageportError:
    return error if isinstance(error, ImageportError) else _internal(error)


def _internal(error: BaseException) -> ImportFailed:
    failed = ImportFailed(
        f"internal error: {type(error).__name__}: {error}",
        hint="this is a defect of Imageport: please report it with the log",
    )
    failed.__cause__ = error
    return failed
