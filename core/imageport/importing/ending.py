"""End an import: publish its copies and release its lease, or roll everything back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from imageport.catalog import Catalog, Lease
from imageport.catalog.lock import IMPORTING
from imageport.configuration.site import Site
from imageport.errors import ImageportError, ImportFailed, LockLost, UsageError
from imageport.events import ImageEvent, TaskEvent
from imageport.importing.context_factory import HostContext, for_cleaning
from imageport.importing.evidence import SOURCE_DIGESTS, Evidence
from imageport.importing.interruption import Interruption
from imageport.importing.lease import LeaseKeeper
from imageport.importing.plan import Plan
from imageport.importing.recovery import remove_copies
from imageport.importing.report import Report
from imageport.importing.settling import settle_all, settle_any
from imageport.importing.staging import Staging
from imageport.importing.stores import Stores, with_definition
from imageport.importing.verdict import changes_between
from imageport.importing.writing import Copy, WrittenImage, discard_all, stuck_stores
from imageport.plugins.binding import BoundStep
from imageport.redaction import redact
from imageport.values import ImageRecord, Location

log = logging.getLogger("imageport")


@dataclass(kw_only=True)
class Ending:
    """The last part of one import, while it holds *lease*; ``record`` is the image as it is left."""

    site: Site
    plan: Plan
    catalog: Catalog
    stores: Stores
    staging: Staging
    lease: Lease
    keeper: LeaseKeeper
    interruption: Interruption
    written: WrittenImage
    evidence: Evidence
    report: Report
    record: ImageRecord
    published: dict[str, Location] = field(default_factory=dict)
    _prepared: set[str] = field(default_factory=set)
    _told_failed: set[str] = field(default_factory=set)
    _active: bool = False
    _clean: bool = True

    def settle(self, record: ImageRecord, ctx: HostContext) -> None:
        """Publish what is written; with *record* the image becomes active."""
        patience = self.site.limits.store_patience

        def publish(copy: Copy) -> None:
            self._publish(copy, record, ctx)

        def failed(copy: Copy) -> None:
            self._tell_failed(copy, ctx)

        if self.plan.all_stores_must_succeed:
            settle_all(self.written, publish, self._check, patience)
        else:
            settle_any(self.written, publish, failed, self._check, patience)
            self._attempt("copies of failed stores", lambda: self._remove_copies(ctx))

    def _check(self) -> None:
        self.keeper.check()
        self.interruption.check()

    def _prepare(self, label: str, ctx: HostContext) -> ImageRecord:
        """Tell, once, that the turn of a store has come, and return the record of that moment."""
        record = self.current()
        if label not in self._prepared:
            self._prepared.add(label)
            ctx.send(ImageEvent(kind="image.prepare", store=label, record=record))
        return record

    def _publish(self, copy: Copy, record: ImageRecord, ctx: HostContext) -> None:
        pending = copy.outcome()
        if pending.bytes_written != self.written.size:
            raise ImportFailed(
                f"store {copy.label} got {pending.bytes_written} bytes of an image of {self.written.size}",
                hint="this is a defect of Imageport: please report it with the log",
            )
        store = next(store for store in self.plan.stores if store.label == copy.label)
        self.lease.require()
        before = self._prepare(copy.label, ctx)
        patience = self.site.limits.store_patience
        error = copy.end_with(pending.publish, patience=patience, check=self._check)
        if error is not None:
            copy.error = store.blamed(error, "publish")
            raise copy.error from error
        location = kept(pending.location, copy.label, self.plan)
        try:
            self.lease.publish(location)
        except LockLost:
            # The image was deleted or taken over, and the copy is visible now. Another import may have written it.
            if not self.catalog.knows(self.lease.image_id, location):
                self._attempt(location.url, lambda: self._delete(location, ctx))
            raise
        self.published[copy.label] = location
        activates = self._describe(record)
        current = self.current()
        # The store counts as busy until this was told, as in Glance.
        busy = {IMPORTING: before.properties.get(IMPORTING, "")}
        told = current.evolve(properties={**current.properties, **busy})
        ctx.send(ImageEvent(kind="image.upload", store=copy.label, record=told))
        if activates:
            ctx.send(ImageEvent(kind="image.activate", record=current))
        ctx.send(ImageEvent(kind="image.update", record=current))

    def _describe(self, record: ImageRecord) -> bool:
        """Say in the catalog what the first copy has shown; return whether the image has become active by this one."""
        if self.plan.copies:
            return False
        changes = self._findings(record) if len(self.published) == 1 else {}
        enough = len(self.published) == len(self.written.copies) or not self.plan.all_stores_must_succeed
        activates = enough and not self._active
        if activates:
            changes["status"] = "active"
        if changes:
            self.lease.update(**changes)
        self._active = self._active or activates
        return activates

    def _findings(self, record: ImageRecord) -> dict[str, Any]:
        """Return what to change in the record, now that all is known of the image."""
        changes = changes_between(self.lease.before, record)
        if self.current().name != self.lease.before.name:
            # A user has given another one in the meantime; that from the source is only a default.
            changes.pop("name", None)
        if digests := self.evidence.to_keep(self.written.digests):
            changes["properties"][SOURCE_DIGESTS] = digests
        return changes

    def finish(self, ctx: HostContext) -> None:
        """End the task with success."""
        self.keeper.stop()
        result = {
            "image_id": self.lease.image_id,
            "source_digests": self.evidence.source_digests(self.written.digests),
            "stored_digests": self.written.digests,
        }
        self.record = self.lease.finish(result=result)
        self.report.status = "success"
        self._attempt("staged data", lambda: self.staging.remove(self.lease.image_id))
        ctx.send(ImageEvent(kind="image.update", record=self.record))
        ctx.send(TaskEvent(kind="task.success"))

    def roll_back(self, error: ImageportError, targets: Sequence[BoundStep], ctx: HostContext) -> None:
        """Undo everything; no error in here keeps the rest from being undone."""
        copies = self.written.copies
        self._attempt("copies that wait", lambda: discard_all(copies.values()))
        failed = [label for label, copy in copies.items() if copy.failed]
        if not failed and not self.plan.copies:
            failed = [store.label for store in targets]
        for copy in copies.values():
            if copy.failed:
                self._attempt("the list of failed stores", partial(self._tell_failed, copy, ctx))
        if not isinstance(error, LockLost) and not self._active:
            self._attempt("published copies", self._unpublish)
        if not isinstance(error, LockLost) and not self.plan.copies:
            self._attempt("staged data", lambda: self.staging.remove(self.lease.image_id))
        self._attempt("copies", lambda: self._remove_copies(ctx))
        self.keeper.stop()
        self._attempt("the record", lambda: self._fail(error, failed))
        self.report.rolled_back = self._clean and not self.report.orphans and not self._active
        ctx.send(ImageEvent(kind="image.update", record=self.record))
        ctx.send(
            TaskEvent(kind="task.failure", step=error.step, store=error.store, error=self._message(error))
        )

    def _unpublish(self) -> None:
        """Hide the published copies, unless the image became active and the answer of the catalog was lost."""
        self._active = not self.lease.unpublish()
        if not self._active:
            self.published.clear()

    def _tell_failed(self, copy: Copy, ctx: HostContext) -> None:
        """Tell, once, that a store has failed; when the others go on without it, it is in the list from now on."""
        if copy.label in self._told_failed:
            return
        self._told_failed.add(copy.label)
        record = self._prepare(copy.label, ctx)
        ctx.send(ImageEvent(kind="image.upload", store=copy.label, error=str(copy.error), record=record))
        if not self.plan.all_stores_must_succeed:
            self.lease.store_failed(copy.label)
            ctx.send(ImageEvent(kind="image.update", record=self.current()))

    def _delete(self, location: Location, ctx: HostContext) -> None:
        with for_cleaning(ctx, self.site) as cleaning:
            self.stores.delete(location, cleaning)

    def _remove_copies(self, ctx: HostContext) -> None:
        stuck = stuck_stores(self.written.copies.values())
        with for_cleaning(ctx, self.site) as cleaning:
            self.report.orphans = remove_copies(
                self.lease.task_id, self.catalog, self.stores, cleaning, stuck=stuck
            )

    def _message(self, error: ImageportError) -> str:
        return redact(": ".join(filter(None, (error.where(), error.message))), self.plan.secrets)

    def _fail(self, error: ImageportError, failed: Sequence[str]) -> None:
        cause = {
            "code": error.code,
            "step": error.step,
            "store": error.store,
            "hint": redact(error.hint, self.plan.secrets),
        }
        self.record = self.lease.fail(message=self._message(error), failed_stores=failed, cause=cause)

    def _attempt(self, what: str, action: Callable[[], None]) -> None:
        """Do *action*; that it failed is told in the log and the report, where 'imageport gc' is the way on."""
        try:
            action()
        except Exception as error:
            self._clean = False
            log.warning("could not clean up %s: %s; run 'imageport gc'", what, error, exc_info=True)

    def lost(self) -> LockLost | None:
        """Return why this import may not write any more, whatever else went wrong because of that."""
        try:
            self.current()
            self.lease.require()
        except LockLost as error:
            return error
        except Exception:
            log.warning("cannot look at the lock of the image", exc_info=True)
        return None

    def current(self) -> ImageRecord:
        """Return the record as it is now. Raises ``LockLost`` when it was deleted."""
        try:
            return self.catalog.get_image(self.lease.image_id)
        except UsageError as error:
            raise LockLost(
                f"image {self.lease.image_id} was deleted while it was imported",
                hint="import it again if it is still wanted",
            ) from error


def kept(location: Location, label: str, plan: Plan) -> Location:
    """Return *location* as the catalog keeps it."""
    return with_definition(location, label, plan.definitions.get(label))
