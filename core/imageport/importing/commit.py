"""Commit an import: publish its copies, and end its task with success."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import Any

from imageport.catalog import Lease
from imageport.catalog.lock import IMPORTING
from imageport.errors import ImageportError, ImportFailed, LockLost, StoreFailed, UsageError
from imageport.events import ImageEvent, TaskEvent
from imageport.importing import recovery
from imageport.importing.context_factory import Environment, HostContext, for_cleaning
from imageport.importing.copies import Copy, CopyState
from imageport.importing.copy_set import CopySet
from imageport.importing.lease_keeper import LeaseKeeper
from imageport.importing.recovery import SHORT
from imageport.importing.report import Report
from imageport.importing.stages import Stages
from imageport.importing.verification import SOURCE_DIGESTS, changes_between
from imageport.values import ImageRecord, Location

log = logging.getLogger("imageport")


class Commit:
    """The last part of one import, while it holds *lease*; ``rollback.roll_back`` is its mirror.

    ``record`` is the image as it is left. ``active`` is true once users have the image by this import, ``clean`` as
    long as nothing was left behind.
    """

    def __init__(
        self, env: Environment, lease: Lease, keeper: LeaseKeeper, *,
        copies: CopySet, stages: Stages, report: Report, record: ImageRecord,
    ) -> None:  # fmt: skip
        self.env = env
        self.lease = lease
        self.keeper = keeper
        self.copies = copies
        self.stages = stages
        self.report = report
        self.record = record
        self._sent: set[tuple[str, str]] = set()
        self.active = False
        self.clean = True

    def publish(self, record: ImageRecord, ctx: HostContext) -> None:
        """Publish the copies; with *record* the image becomes active.

        Where all stores must succeed, no copy is published before all are written, and an error is raised.
        Otherwise each is published as soon as its store is done. Raises ``StoreFailed`` when no store has a copy. Once
        users have the image it is not taken away from them: an error ends the import with the copies that it has.
        """
        together = self.env.plan.all_stores_must_succeed
        patience = self.env.site.limits.store_patience
        in_use = False
        try:
            while copy := self.copies.next_ready(
                together=together, check=self.keeper.require_running, patience=patience
            ):
                if copy.state is CopyState.WRITTEN:
                    self._begin_publishing(copy, ctx)
                else:
                    in_use = self._settle(copy, record, ctx) or in_use
        except Exception as error:
            if together or not in_use or isinstance(error, LockLost):
                raise
            log.warning("%s; the image is in use and stays in the stores that have it", error)
            reason = StoreFailed(f"{error} before this store was done")
            for copy in self.copies.give_up(reason, seconds_left=self.seconds_left):
                self.report_failed(copy, ctx)
        if not in_use:
            raise self._no_copy()
        if not together:
            self.attempt("copies of failed stores", lambda: self.remove_copies(ctx))

    def _settle(self, copy: Copy, record: ImageRecord, ctx: HostContext) -> bool:
        """Record one copy and return whether users have it; raise its error where all stores must succeed."""
        if not copy.failed:
            self._record(copy, record, ctx)
            return True
        assert copy.error is not None  # noqa: S101 - for the type checker: a failed copy has one
        store = next(store for store in self.env.plan.stores if store.label == copy.label)
        copy.error = store.blamed(copy.error, "publish")
        if self.env.plan.all_stores_must_succeed:
            raise copy.error
        log.warning("store %s: %s", copy.label, copy.error)
        self.report_failed(copy, ctx)
        return False

    def _begin_publishing(self, copy: Copy, ctx: HostContext) -> None:
        """Let a store publish its copy; the catalog lists it afterwards."""
        self._require_complete(copy)
        self.lease.require()
        self._prepare(copy.label, ctx)
        copy.begin_publishing()

    def _record(self, copy: Copy, record: ImageRecord, ctx: HostContext) -> None:
        """List a copy, which its store has published, in the catalog."""
        before = self.current()
        location = self.env.kept(copy.pending.location, copy.label)
        try:
            self.lease.publish(location)
        except LockLost:
            # The image was deleted or taken over, and the copy is visible now. Another import may have written it.
            if not self.env.catalog.knows(self.lease.image_id, location):
                self.attempt(location.url, lambda: self._delete(location, ctx))
            raise
        copy.move(CopyState.PUBLISHED)
        activates = self._describe(record)
        current = self.current()
        # The store counts as busy until this was reported, as in Glance.
        busy = {IMPORTING: before.properties.get(IMPORTING, "")}
        shown = current.evolve(properties={**current.properties, **busy})
        ctx.send(ImageEvent(kind="image.upload", store=copy.label, record=shown))
        if activates:
            ctx.send(ImageEvent(kind="image.activate", record=current))
        ctx.send(ImageEvent(kind="image.update", record=current))

    def finish(self, ctx: HostContext) -> None:
        """End the task with success."""
        self.keeper.stop()
        stored = self.stages.findings.digests
        result = {
            "image_id": self.lease.image_id,
            "source_digests": self.stages.verification.source_digests(stored),
            "stored_digests": stored,
        }
        self.record = self.lease.finish(result=result)
        self.report.status = "success"
        self.attempt("staged data", lambda: self.env.staging.remove(self.lease.image_id))
        ctx.send(ImageEvent(kind="image.update", record=self.record))
        ctx.send(TaskEvent(kind="task.success"))

    def _require_complete(self, copy: Copy) -> None:
        size = self.stages.findings.size
        if copy.pending.bytes_written != size:
            raise ImportFailed(
                f"store {copy.label} got {copy.pending.bytes_written} bytes of an image of {size}",
                hint="this is a defect of Imageport: please report it with the log",
            )

    @property
    def _published(self) -> int:
        return sum(copy.state is CopyState.PUBLISHED for copy in self.copies)

    def _no_copy(self) -> StoreFailed:
        errors = {copy.label: copy.error for copy in self.copies}
        return StoreFailed(
            "no store took the image: " + "; ".join(f"{label}: {error}" for label, error in errors.items()),
            hint=next((error.hint for error in errors.values() if isinstance(error, ImageportError)), ""),
        )

    def _prepare(self, label: str, ctx: HostContext) -> ImageRecord:
        """Send, once, the event that the turn of a store has come, and return the record of that moment."""
        record = self.current()
        if self._first("prepare", label):
            ctx.send(ImageEvent(kind="image.prepare", store=label, record=record))
        return record

    def report_failed(self, copy: Copy, ctx: HostContext) -> None:
        """Report, once, that a store has failed; when the others go on without it, it is in the list from now on."""
        if not self._first("failed", copy.label):
            return
        record = self._prepare(copy.label, ctx)
        ctx.send(ImageEvent(kind="image.upload", store=copy.label, error=str(copy.error), record=record))
        if not self.env.plan.all_stores_must_succeed:
            self.lease.store_failed(copy.label)
            ctx.send(ImageEvent(kind="image.update", record=self.current()))

    def _first(self, event: str, label: str) -> bool:
        is_first = (event, label) not in self._sent
        self._sent.add((event, label))
        return is_first

    def _describe(self, record: ImageRecord) -> bool:
        """Record the facts from the first copy; return whether the image has become active by this copy."""
        if self.env.plan.copies:
            return False
        changes = self._changes(record) if self._published == 1 else {}
        enough = self._published == len(self.copies) or not self.env.plan.all_stores_must_succeed
        activates = enough and not self.active
        if activates:
            changes["status"] = "active"
        if changes:
            self.lease.update(**changes)
        self.active = self.active or activates
        return activates

    def _changes(self, record: ImageRecord) -> dict[str, Any]:
        """Return the changes of the record, now that all facts about the image are known."""
        changes = changes_between(self.lease.before, record)
        if self.current().name != self.lease.before.name:
            # A user has given another one in the meantime; that from the source is only a default.
            changes.pop("name", None)
        if digests := self.stages.verification.to_keep(self.stages.findings.digests):
            changes["properties"][SOURCE_DIGESTS] = digests
        return changes

    def _delete(self, location: Location, ctx: HostContext) -> None:
        with for_cleaning(ctx, self.env.site) as cleaning:
            self.env.stores.delete(location, cleaning)

    @cached_property
    def seconds_left(self) -> Callable[[], float]:
        """The seconds that are left of those which all clean-up has together, once it has begun.

        Where a store was stuck already, they are few: the others may be on the same server.
        """
        patience = self.env.site.limits.store_patience
        was_stuck = any(copy.abandoned for copy in self.copies)
        return self.env.interruption.countdown(min(SHORT, patience) if was_stuck else patience)

    def remove_copies(self, ctx: HostContext) -> None:
        """Remove the copies that are not published; the report has those that are left behind."""
        stuck = self.copies.stuck(seconds_left=self.seconds_left)
        with for_cleaning(ctx, self.env.site) as cleaning:
            left = recovery.remove_copies(
                self.lease.task_id, self.env.catalog, self.env.stores, cleaning,
                stuck=stuck, seconds_left=self.seconds_left,
            )  # fmt: skip
        self.report.orphans = [location.url for location in left]
        labels = {location.store for location in left}
        for copy in self.copies:
            if copy.label in labels and copy.state is CopyState.DISCARDED:
                copy.move(CopyState.ABANDONED)

    def attempt(self, what: str, action: Callable[[], None]) -> None:
        """Do *action*; the log and the report have its failure, and 'imageport gc' is the way on."""
        try:
            action()
        except Exception as error:
            self.clean = False
            log.warning("could not clean up %s: %s; run 'imageport gc'", what, error, exc_info=True)

    def current(self) -> ImageRecord:
        """Return the record as it is now. Raises ``LockLost`` when it was deleted."""
        try:
            return self.env.catalog.get_image(self.lease.image_id)
        except UsageError as error:
            raise LockLost(
                f"image {self.lease.image_id} was deleted while it was imported",
                hint="import it again if it is still wanted",
            ) from error
