"""The journey of one import: admit, stage, transform, write, settle, finish."""

from __future__ import annotations

import logging
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from imageport import policy
from imageport.admission import ImportRequest, admit_record, choose_targets
from imageport.binding import BoundStep
from imageport.catalog import Catalog, Lease
from imageport.catalogue import Catalogue
from imageport.context import Context
from imageport.errors import ImageportError, ImportFailed, LockLost, VerificationFailed
from imageport.inspection import check_declared
from imageport.interruption import Interruption
from imageport.lease import LEASE_SECONDS, LeaseKeeper
from imageport.metering import Meter
from imageport.observing import Observers
from imageport.plan import Plan
from imageport.recovery import clean_after, recover_dead_import
from imageport.report import Report, StageReport, StoreReport
from imageport.settling import discard_all, settle_all, settle_any
from imageport.site import Site
from imageport.staging import Staging
from imageport.stores import Stores, with_definition
from imageport.transport import HttpTransport
from imageport.values import RESERVED_PREFIX, Event, Image, ImageRecord, Location, Source
from imageport.writing import Copy, WrittenImage, store_report, write_everywhere

log = logging.getLogger("imageport")


class Importer:
    """Runs imports with the catalog, plugins and rules of one site."""

    def __init__(
        self, site: Site, catalog: Catalog, catalogue: Catalogue, interruption: Interruption
    ) -> None:
        self.site = site
        self.catalog = catalog
        self.catalogue = catalogue
        self.interruption = interruption

    def run(self, plan: Plan, request: ImportRequest) -> Report:
        """Run one import and return its report; a failed one is rolled back, and its error is in the report."""
        run = _Import(self, plan, request)
        try:
            run.go()
        except ImageportError as error:
            run.report.error = error
        except Exception as error:
            log.exception("internal error")
            run.report.error = ImportFailed(
                f"internal error: {type(error).__name__}: {error}",
                hint="this is a defect of Imageport: please report it with the log",
            )
            run.report.error.__cause__ = error
        return run.conclude()


class _Import:
    """The state of one import."""

    def __init__(self, importer: Importer, plan: Plan, request: ImportRequest) -> None:
        self.site = importer.site
        self.catalog = importer.catalog
        self.interruption = importer.interruption
        self.plan = plan
        self.request = request
        self.stores = Stores(importer.catalogue, plan.stores)
        self.staging = Staging(importer.site.staging.directory)
        self.observers = Observers([*plan.observers, *plan.steps])
        self.started = time.monotonic()
        self.ctx: Context | None = None
        self.report = Report(plan=plan.describe())
        self.report.source.uri = plan.source.uri
        self.meters: list[Meter] = []
        self.written = WrittenImage()
        self.settled: dict[str, Location] = {}
        self.publishing: set[str] = set()
        self.progress: dict[str, Any] = {}
        self.record: ImageRecord | None = None
        self.lease: Lease | None = None

    # ------------------------------------------------------------------------------------------------ the journey

    def go(self) -> None:
        record, is_new = admit_record(self.request, self.plan, self.catalog)
        self.record = record
        if self.plan.copies:
            policy.require("copy_image", self.site.policy.copy_image, self.request.caller)
        targets = choose_targets(self.request, self.plan, record)
        self.report.stores = {
            store.label: StoreReport() for store in self.plan.stores if "store_write" in store.answers
        }
        if not targets:
            self.report.status = "success"
            return
        self.ctx = ctx = self._context(record)
        for step in (self.plan.method, *self.plan.steps, *targets):
            step.validate_source(self.plan.source, record, ctx)
        if is_new:
            self.catalog.create_image(record)
        elif (dead := self.catalog.dead_import(record.id)) is not None:
            recover_dead_import(dead, self.catalog, self.stores, self.staging, ctx)
        self.lease = self.catalog.begin_import(
            record.id,
            starts_from=self.plan.method.plugin.starts_from,
            request={
                "pipeline": self.plan.name,
                "source": self.plan.source.uri,
                "method": self.plan.source.method,
            },
            owner=self.request.caller.user,
            targets=[store.label for store in targets],
            lease_seconds=LEASE_SECONDS,
        )
        self.report.task_id = self.lease.task_id
        self._under_lease(self.lease, record, targets, ctx)

    def _under_lease(
        self, lease: Lease, record: ImageRecord, targets: tuple[BoundStep, ...], ctx: Context
    ) -> None:
        keeper = LeaseKeeper(self.catalog, lease, self.interruption.event, self.progress)
        with ExitStack() as cleaning:
            try:
                cleaning.enter_context(keeper)
                folder = cleaning.enter_context(self.staging.work_folder(record.id, lease.task_id))
                ctx = replace(ctx, task_id=lease.task_id, work_folder=folder)
                ctx.report("task.create")
                ctx.report("task.processing")
                ctx.report("image.update", record=self._current())
                with self.interruption.raising():
                    image = self._bring(record, ctx)
                    self._write(image, targets, ctx)
                keeper.check()
                final = self._judge(image)
                self._settle(ctx, final.record)
                self._finish(ctx, lease, final.record)
            except BaseException as error:
                cause = _stated(error, keeper)
                cleaning.close()
                self._roll_back(replace(ctx, task_id=lease.task_id), lease, targets, cause)
                raise cause from error

    def _bring(self, record: ImageRecord, ctx: Context) -> Image:
        """Stage the image and send it through the steps; most of the bytes are still to be read afterwards."""
        data = self._measured(self.plan.method, "stage", ctx, lambda meter: meter.measure(
            self.plan.method.stage(self.plan.source, record, ctx)
        ))  # fmt: skip
        if self.plan.spool_first:
            data = ctx.spool(data)
        image = Image(record, data)
        for step in self.plan.steps:
            image = self._transformed(step, image, ctx)
        return image

    def _transformed(self, step: BoundStep, image: Image, ctx: Context) -> Image:
        if "transform" not in step.answers:
            return image

        def transform(meter: Meter) -> Image:
            changed = step.transform(image, ctx)
            if changed.data is image.data:
                meter.bytes_out = meter.bytes_in
                return changed
            return changed.evolve(data=meter.measure(changed.data))

        changed: Image = self._measured(step, "transform", ctx, transform)
        return changed

    def _measured(self, step: BoundStep, hook: str, ctx: Context, call: Any) -> Any:
        seen = ctx.for_step(step.label)
        above = self.meters[-1] if self.meters else None
        meter = Meter(step, hook, seen.progress, above)
        self.meters.append(meter)
        ctx.report("step.start", step=step.label, message=hook)
        started = time.monotonic()
        result = call(meter)
        meter.inclusive += time.monotonic() - started
        ctx.report("step.end", step=step.label, message=hook)
        return result

    def _write(self, image: Image, targets: tuple[BoundStep, ...], ctx: Context) -> None:
        record = self.record
        assert record is not None
        digests = list(self.site.digests)
        if record.os_hash_algo and record.os_hash_algo not in digests:
            digests.append(record.os_hash_algo)
        write_everywhere(
            image, targets, ctx,
            digests=digests,
            inspect=not self.plan.copies and image.record.container_format == "bare",
            all_must_succeed=self.plan.all_stores_must_succeed,
            written=self.written,
        )  # fmt: skip

    # -------------------------------------------------------------------------------------------------- the verdict

    def _judge(self, image: Image) -> Image:
        """Return the image with what its bytes have shown, or raise ``VerificationFailed``."""
        for meter in self.meters:
            meter.check_drained()
        found = self.written
        if found.size == 0:
            raise VerificationFailed("the image is empty", hint="check the source: it delivered no bytes")
        record = image.record
        if self.plan.copies:
            self._compare_with_record(record)
            return image
        secure = [name for name in self.site.digests if name != "md5"]
        algorithm = secure[-1] if secure else None
        if found.format is not None:
            declared = record.disk_format if self.site.require_image_format_match else None
            disk_format = check_declared(found.format, declared)
            if declared or not record.disk_format:
                record = record.evolve(disk_format=disk_format)
            virtual_size = (
                found.format.virtual_size if record.disk_format == found.format.disk_format else None
            )
            record = record.evolve(virtual_size=virtual_size)
        return image.evolve(
            disk_format=record.disk_format,
            virtual_size=record.virtual_size,
            size=found.size,
            checksum=found.digests.get("md5"),
            os_hash_algo=algorithm,
            os_hash_value=found.digests[algorithm] if algorithm else None,
        )

    def _compare_with_record(self, record: ImageRecord) -> None:
        digests = self.written.digests
        expected = {
            "size": (record.size, self.written.size),
            "checksum (md5)": (record.checksum, digests.get("md5")),
            f"os_hash_value ({record.os_hash_algo})": (
                record.os_hash_value, digests.get(record.os_hash_algo or ""),
            ),
        }  # fmt: skip
        for name, (wanted, found) in expected.items():
            if wanted is not None and found is not None and wanted != found:
                raise VerificationFailed(
                    f"the copy that was read has {name} {found}, the record says {wanted}",
                    hint="that copy is damaged: remove it, and copy from another store",
                )

    def _settle(self, ctx: Context, record: ImageRecord) -> None:
        copies = self.written.copies

        def publish(copy: Copy) -> None:
            self._publish(copy, record, ctx)

        def failed(copy: Copy) -> None:
            assert self.lease is not None
            self.catalog.store_failed(self.lease, copy.label)
            ctx.report("image.upload", store=copy.label, error=str(copy.error), record=self._current())

        if self.plan.all_stores_must_succeed:
            settle_all(copies, publish)
        else:
            settle_any(copies, publish, failed, self.interruption.check)

    def _publish(self, copy: Copy, record: ImageRecord, ctx: Context) -> None:
        assert self.lease is not None
        pending = copy.outcome()
        store = next(store for store in self.plan.stores if store.label == copy.label)
        self.publishing.add(copy.label)
        try:
            pending.publish()
        except Exception as error:
            copy.error = store.blamed(error, "publish")
            raise copy.error from error
        location = with_definition(pending.location, copy.label, self.plan.definitions[copy.label])
        self.catalog.publish(self.lease, location)
        self.settled[copy.label] = location
        last = len(self.settled) == len(self.written.copies)
        activates = not self.plan.copies and (
            last if self.plan.all_stores_must_succeed else len(self.settled) == 1
        )
        if activates:
            self.catalog.update_image(
                record.id, fence=self.lease.fence, **{**self._changes(record), "status": "active"}
            )
        current = self._current()
        ctx.report("image.upload", store=copy.label, record=current)
        if activates:
            ctx.report("image.activate", record=current)

    def _changes(self, record: ImageRecord) -> dict[str, Any]:
        """Return only what this import changed, so that a user's edit in the meantime survives."""
        assert self.lease is not None
        before = self.lease.before
        owned = (
            "name", "disk_format", "container_format", "size", "virtual_size", "checksum",
            "os_hash_algo", "os_hash_value", "min_disk", "min_ram", "tags",
        )  # fmt: skip
        changed = {
            name: getattr(record, name) for name in owned if getattr(record, name) != getattr(before, name)
        }
        return changed | {"properties": self._changed_properties(record, before)}

    def _changed_properties(self, record: ImageRecord, before: ImageRecord) -> dict[str, str | None]:
        after = dict(record.properties)
        changed: dict[str, str | None] = {name: None for name in before.properties if name not in after}
        changed |= {name: value for name, value in after.items() if before.properties.get(name) != value}
        for name in [name for name in changed if name.startswith(RESERVED_PREFIX)]:
            if changed.pop(name) is not None:
                log.warning("property %s is reserved and was not set", name)
        return changed

    # ---------------------------------------------------------------------------------------------------- the end

    def _finish(self, ctx: Context, lease: Lease, record: ImageRecord) -> None:
        self.record = self.catalog.finish(lease, result={"image_id": record.id})
        self.staging.remove(record.id)
        self.report.status = "success"
        ctx.report("image.update", record=self.record)
        ctx.report("task.success")

    def _roll_back(
        self, ctx: Context, lease: Lease, targets: tuple[BoundStep, ...], error: ImageportError
    ) -> None:
        """Undo everything; no error in here may keep the rest from being undone."""
        copies = self.written.copies
        discard_all(copy for label, copy in copies.items() if label not in self.publishing)
        failed = [label for label, copy in copies.items() if copy.failed]
        if not failed and not self.plan.copies:
            failed = [store.label for store in targets]
        if not isinstance(error, LockLost):
            for location in self.settled.values():
                self.catalog.unpublish(lease, location)
            self.report.orphans = clean_after(lease, self.catalog, self.stores, self.staging, ctx)
        self.settled.clear()
        self.record = self.catalog.fail(
            lease,
            message=": ".join(filter(None, (error.where(), error.message))),
            failed_stores=failed,
            result={},
        )
        ctx.report("image.update", record=self.record)
        ctx.report("task.failure", error=error.message)

    def conclude(self) -> Report:
        """Complete the report and show it to the observers."""
        report = self.report
        report.image = self.record
        for label, copy in self.written.copies.items():
            report.stores[label] = store_report(copy, published=label in self.settled)
        report.stages = [
            StageReport(
                meter.step.label, meter.hook, round(meter.seconds, 3), meter.bytes_in, meter.bytes_out
            )
            for meter in self.meters
        ]
        report.source.bytes_read = self.meters[0].bytes_out if self.meters else 0
        report.source.digests = self.written.digests
        report.seconds = time.monotonic() - self.started
        if self.ctx is not None:
            self.ctx.report("report", detail=report.as_dict())
        return report

    # ---------------------------------------------------------------------------------------------------- services

    def _context(self, record: ImageRecord) -> Context:
        context: Context

        def emit(event: Event) -> None:
            if event.kind == "progress" and event.lane:
                self.progress[event.lane] = event.done
            elif event.kind == "check":
                check = {"name": event.message, "verdict": event.verdict or ""}
                self.report.source.checks.append(check)
            self.observers.emit(event, context)

        def validate(url: str, redirected_from: str | None) -> None:
            source = Source(method=self.plan.source.method, uri=url, redirected_from=redirected_from)
            for step in self.plan.everybody:
                step.validate_source(source, record, context)

        http = HttpTransport(
            rules=self.site.network,
            limits=self.site.limits,
            validate=validate,
            cancelled=self.interruption.event,
        )
        context = Context(
            caller=self.request.caller,
            image_id=record.id,
            task_id="",
            step="",
            limits=self.site.limits,
            http=http,
            log=log,
            replicas=tuple(
                sorted(record.locations, key=lambda location: location.store != self.site.default_store)
            ),
            staged=self.staging.staged(record.id),
            stream_only=self.plan.stream_only,
            work_folder=self.staging.directory,
            emit=emit,
            read_replica=lambda location: self.stores.read(location, context),
            announce_location=self._announce,
            cancelled=self.interruption.event,
        )
        return context

    def _announce(self, label: str, location: Location) -> None:
        assert self.lease is not None
        self.catalog.announce(self.lease, with_definition(location, label, self.plan.definitions[label]))

    def _current(self) -> ImageRecord:
        assert self.record is not None
        return self.catalog.get_image(self.record.id)


def _stated(error: BaseException, keeper: LeaseKeeper) -> ImageportError:
    """Return what to tell of *error*: the reason of the keeper, when that is what ended the import."""
    try:
        keeper.check()
    except ImageportError as reason:
        return reason
    return error if isinstance(error, ImageportError) else ImportFailed(f"{type(error).__name__}: {error}")
