"""Run an import: admit it, run its stages, verify the image, and commit its copies or roll it back."""

from __future__ import annotations

import gc
import logging
import math
import time
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

from imageport.access.quotas import demand_to_keep
from imageport.catalog import Catalog, Lease
from imageport.configuration.site import Site
from imageport.errors import ImageportError, VerificationFailed
from imageport.events import CheckEvent, Event, ImageEvent, ProgressEvent, ReportEvent, SourceEvent, TaskEvent
from imageport.importing.admission import Admission, ImportRequest, as_requested
from imageport.importing.commit import Commit
from imageport.importing.context_factory import Environment, HostContext, build_context
from imageport.importing.copy_set import CopySet
from imageport.importing.lease_keeper import Interruption, LeaseKeeper
from imageport.importing.plan import Plan
from imageport.importing.report import Report, StoreReport, check_dict
from imageport.importing.rollback import ENDS_PROGRAM, RetryPolicy, explained, lost_lease, roll_back
from imageport.importing.stages import Stages
from imageport.importing.staging import Staging, remove
from imageport.importing.stores import Stores
from imageport.importing.verification import digests_to_make, verify, verify_copy
from imageport.plugins.observers import Observers
from imageport.plugins.registry import PluginRegistry
from imageport.values import Image, ImageRecord, Location
from imageport.watched_calls import supervised

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
        env = Environment(
            site=self.site,
            catalog=self.catalog,
            plan=plan,
            stores=Stores(
                self.registry,
                plan.stores,
                plan.terms.definitions,
                site=self.site,
                seconds_left=self.interruption.countdown(math.inf),
            ),
            staging=Staging(self.site.staging.directory),
            interruption=self.interruption,
        )
        with closing(env):
            run = _Import(env, request)
            try:
                run.run()
            except BaseException as error:
                run.report.error = explained(error)
                if isinstance(error, ENDS_PROGRAM):
                    run.conclude()
                    raise
                if not isinstance(error, ImageportError):
                    log.exception("internal error")
            return run.conclude()


class _Import:
    """The state of one import."""

    def __init__(self, env: Environment, request: ImportRequest) -> None:
        self.env = env
        self.started = time.monotonic()
        self.admission = Admission(env, request)
        patience = env.site.limits.observer_patience
        self.observers = Observers([*env.plan.observers, *env.plan.steps], patience=patience)
        self.report = Report(plan=env.plan.describe())
        self.report.source.uri = env.plan.shown_source
        self.progress: dict[str, Any] = {}
        self.stages = Stages(env.plan)
        self.copies = CopySet()
        self.commit: Commit | None = None

    def run(self) -> None:
        """Admit the import, and run it under its lease."""
        plan, admission = self.env.plan, self.admission
        caller = admission.request.caller
        record, ctx = admission.examine(
            lambda record: build_context(
                self.env, record, caller, self.observers, announce=self._announce, note=self._note
            )
        )
        writable = [store.label for store in plan.stores if "store_write" in store.answers]
        self.report.stores = {label: StoreReport() for label in writable}
        if not admission.targets:
            self.report.status = "success"
            return
        lease = admission.begin(record, ctx)
        self.report.task_id = lease.task_id
        # A user may have changed the record while the source was judged, and a recovery has.
        record = as_requested(lease.before, admission.request, plan)
        self._run_leased(lease, record, replace(ctx, task_id=lease.task_id))

    def _run_leased(self, lease: Lease, record: ImageRecord, ctx: HostContext) -> None:
        env, targets = self.env, self.admission.targets
        keeper = LeaseKeeper(lease, env.interruption, self.progress, deadline=env.site.limits.import_deadline)
        self.commit = commit = Commit(
            env, lease, keeper, copies=self.copies, stages=self.stages, report=self.report, record=record
        )
        with keeper:
            try:
                with env.staging.work_folder(record.id, lease.task_id) as folder:
                    ctx = replace(ctx, work_folder=folder, partial=self.admission.partial(folder))
                    self._start(commit, ctx)
                    self._reserve(lease, record, len(targets.accepting))
                    image = self._attempts(commit, record, ctx)
                    keeper.require_running()
                    verified = self._verified(image, ctx)
                    self.stages.require_accepted(verified, targets, self.copies)
                    self._reserve(lease, verified, sum(not copy.failed for copy in self.copies))
                    commit.publish(verified, ctx)
                commit.finish(ctx)
            except BaseException as error:
                cause = keeper.reason or lost_lease(commit) or explained(error)
                roll_back(commit, cause, targets, ctx)
                if isinstance(error, ENDS_PROGRAM):
                    raise
                raise cause from error

    def _start(self, commit: Commit, ctx: HostContext) -> None:
        """Begin the task. Raises ``OverQuota`` when there was no room for it."""
        ctx.send(TaskEvent(kind="task.create"))
        commit.lease.start()
        ctx.send(TaskEvent(kind="task.processing"))
        ctx.send(ImageEvent(kind="image.update", record=commit.current()))
        if commit.lease.refusal is not None:
            raise commit.lease.refusal

    def _attempts(self, commit: Commit, record: ImageRecord, ctx: HostContext) -> Image:
        """Run the stages until they succeed, or another attempt would not help."""
        policy = RetryPolicy(self.env.plan.method, ctx)
        while True:
            try:
                # In another thread, which is left behind with a plugin that is stuck, at its deadline or a signal.
                attempt = partial(self._attempt, commit, record, policy)
                return supervised(attempt, check=commit.keeper.require_running)
            except ImageportError as error:
                if not policy.should_retry(error, begun=self.stages.begun):
                    if policy.attempts > 1:
                        error.message += f" (after {policy.attempts} tries)"
                    raise
                self._begin_again(error, ctx)
            except ENDS_PROGRAM:
                self.env.interruption.event.set()
                raise
            # Errors and the frames in their tracebacks refer to each other, and keep buffers.
            gc.collect()

    def _attempt(self, commit: Commit, record: ImageRecord, policy: RetryPolicy) -> Image:
        plan, admission, stages = self.env.plan, self.admission, self.stages
        image = stages.run(
            record, admission.access, policy.ctx, admission.targets, named_by_source=admission.named_by_source
        )
        digests = digests_to_make(commit.lease.before, self.env.site, copies=plan.copies)
        stages.write(image, admission.targets, policy.ctx, self.copies, digests)
        if plan.copies:
            self._compare(image.record, policy.store)
        return image

    def _compare(self, record: ImageRecord, store: str | None) -> None:
        try:
            verify_copy(record, self.stages.findings, store)
        except ImageportError as error:
            raise self.env.plan.method.blamed(error, "stage") from None

    def _begin_again(self, error: ImageportError, ctx: HostContext) -> None:
        # A handler that keeps its records must not keep the error, whose traceback holds buffers.
        log.warning("%s; the image is read again from the beginning", str(error))
        if self.env.plan.copies and isinstance(error, VerificationFailed):
            # The damaged copy stays where it is.
            log.warning("%s", error.hint)
        if self.report.source.url is not None:
            ctx.send(SourceEvent(step=error.step, message=self.report.source.url, error=error.message))
        patience = self.env.site.limits.store_patience
        self.copies.restart(patience=patience, seconds_left=self.env.interruption.countdown(patience))
        self.stages.restart()
        if ctx.partial is not None:
            ctx.partial.forget()
        for path in ctx.work_folder.iterdir():
            remove(path)

    def _reserve(self, lease: Lease, record: ImageRecord, copies: int) -> None:
        """Reserve the bytes of all copies, as soon as the size is known and again when it is certain."""
        stored = (record.size or 0) * (len(record.locations) + copies)
        demand = demand_to_keep(self.env.site.quotas, record, stored)
        if demand.quotas:
            lease.reserve(stored, demand)

    def _verified(self, image: Image, ctx: HostContext) -> ImageRecord:
        """Return the record as the bytes have shown it to be. Raises ``VerificationFailed``."""
        self.stages.require_drained()
        if self.env.plan.copies:
            return image.record
        if self.env.plan.terms.trust == "signed":
            self.stages.verification.require_signer()
        return verify(image, self.stages.findings, ctx.inspection, self.env.site.digests)

    def conclude(self) -> Report:
        """Complete the report and show it to the observers."""
        self.admission.close()
        report, stages = self.report, self.stages
        report.image = self.commit.record if self.commit else self.admission.record
        refused = self.admission.targets.refused
        report.stores |= {
            label: StoreReport("failed", error=str(reason)) for label, reason in refused.items()
        }
        report.stores |= {copy.label: copy.report() for copy in self.copies}
        report.stages = stages.report()
        report.source.bytes_read, report.source.resumed = stages.bytes_read, stages.resumed
        report.source.digests = stages.verification.source_digests(stages.findings.digests)
        report.digests = stages.findings.digests
        report.waited_for = stages.findings.waited_for
        report.seconds = time.monotonic() - self.started
        # The pipeline is gone when a program looks at the report, and its secrets are not known any more.
        report.hide(self.env.plan.secrets)
        if (ctx := self.admission.ctx) is not None:
            replace(ctx, task_id=report.task_id or "").send(ReportEvent(detail=report.as_dict()))
            # After a signal the last events have to go out quickly.
            self.observers.close(most=max(0.3, self.env.interruption.countdown(math.inf)()))
            ctx.http.close()
        return report

    def _note(self, event: Event) -> None:
        match event:
            case ProgressEvent():
                self.progress[event.lane] = event.done
            case SourceEvent():
                self.report.source.note(event)
            case CheckEvent():
                self.stages.verification.record(event)
                self.report.source.checks.append(check_dict(event))

    def _announce(self, label: str, location: Location) -> None:
        if self.commit is None:
            raise RuntimeError("a copy was announced before the import has its lease")
        self.commit.lease.announce(self.env.kept(location, label))
