"""The stages of an import: method and steps, which make the bytes, and the pass that writes them everywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from imageport.access.permissions import Access
from imageport.data import ImageData
from imageport.dataplane.buffers import Chunks
from imageport.dataplane.channel import Spill
from imageport.dataplane.fanout import Slowest, fan_out
from imageport.dataplane.inspection import ImageFormat
from imageport.dataplane.metering import Meter
from imageport.dataplane.shared_file import SharedFile
from imageport.errors import ImageportError, StepCrashed
from imageport.events import ProgressEvent, StepEvent
from imageport.importing.context_factory import STAGING, HostContext
from imageport.importing.copies import Copy, new_copy
from imageport.importing.copy_set import CopySet
from imageport.importing.plan import Plan
from imageport.importing.report import StageReport
from imageport.importing.stores import write_copy
from imageport.importing.verification import Checkers, Findings, Verification, look_first
from imageport.limits import Limits
from imageport.plugins.binding import BoundStep
from imageport.plugins.capabilities import ImageFacts, Targets, possible_formats
from imageport.redaction import redact
from imageport.values import RESERVED_PREFIX, Image, ImageRecord

T = TypeVar("T")


class Stages:
    """Calls the method and the steps of *plan*, and measures the work of each on the bytes.

    ``slowest()`` names the stage that the bytes wait for, ``resumed`` are the bytes that were here from before,
    ``findings`` are those of the pass over the finished bytes.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._meters: list[Meter] = []
        self.slowest = Slowest(self._seconds)
        self.verification = Verification()
        self.findings = Findings()
        self.resumed = 0

    @property
    def begun(self) -> bool:
        """True when the method had opened its source."""
        return bool(self._meters) and self._meters[0].streams

    @property
    def bytes_read(self) -> int:
        """Bytes that came from the source."""
        return self._meters[0].bytes_out if self._meters else 0

    def report(self) -> list[StageReport]:
        """Return the work of each hook so far."""
        return [
            StageReport(meter.label, meter.hook, round(meter.seconds, 3), meter.bytes_in, meter.bytes_out)
            for meter in self._meters
        ]

    def restart(self) -> None:
        """Forget everything, to begin again with other data."""
        self._meters.clear()
        self.verification.restart()

    def require_drained(self) -> None:
        """Raise ``StepCrashed`` when a step has left part of the stream above it unread.

        Digests of the published bytes are known only at their end, so a reader that stops early would bypass them
        (the class of CVE-2021-20319).
        """
        for meter in self._meters:
            if meter.streams and not meter.drained:
                raise StepCrashed(
                    f"the data of '{meter.label}' was not read to its end, so its checks never finished",
                    hint="a step below stops too early: it must read its input to the end",
                )

    def run(
        self, record: ImageRecord, access: Access, ctx: HostContext, targets: Targets, *,
        named_by_source: bool = False,
    ) -> Image:  # fmt: skip
        """Stage the image and send it through the steps; most of its bytes are still to be read afterwards.

        With *named_by_source* the image gets the name that its source has for the file, if the method knows one.
        Raises ``StoreFailed`` when the file at the source shows that *targets* cannot take the result of the steps.
        """
        method = self._plan.method
        self.verification.before(method)
        data, name = self._timed(method, "stage", ctx, lambda meter: self._staged(record, ctx, meter))
        if named_by_source and name:
            record = record.evolve(name=redact(name, self._plan.secrets))
        ctx.require_below_cap(data.size)
        if data.path is None:
            data = data.counted(ctx.capped)
        if data.path is not None and targets.selective:
            targets.require(self._plan.facts_of_file(data.path, record))
        image = Image(record, self._spooled(data, ctx) if self._plan.spool_first else data)
        for step in (method, *self._plan.steps):
            if "transform" in step.answers:
                image = self._transformed(step, image, ctx)
            if step is method:
                self._require_properties(record, image.record, access)
        return image

    def write(
        self, image: Image, targets: Targets, ctx: HostContext, copies: CopySet, digests: Sequence[str]
    ) -> None:
        """Read *image* once, and feed the inspection, *digests* and the stores; ``findings`` and *copies* are filled.

        Copies of *targets* that cannot take the image fail before a store is called. Where a store needs a file, or has
        to wait for a slot, the bytes are spooled first. When this raises, *copies* are to be discarded.
        """
        plan = self._plan
        inspect = not plan.copies and image.record.container_format == "bare"
        likely = None
        if inspect:
            image, self.findings.format, likely = look_first(image, ctx)
        image = self._fitted(image, targets, ctx, likely)
        data = image.data
        # A file of the caller may change any time: neither a store nor a consumer that lags may read it.
        on_disk = Spill.of_file(data.path) if data.path is not None and ctx.is_private(data.path) else None
        backing_file = data.backing_file
        if backing_file is not None and not plan.copies and not ctx.is_private(backing_file):
            backing_file = None
        # The bytes of a stored image stay where they are, and so does a file that a store wants to read.
        shared = SharedFile(backing_file, movable=not (plan.copies or targets.for_which_to_spool(data.size)))
        for_stores = replace(ctx.sharing(shared), known_digests=lambda: dict(self.findings.digests))
        write = partial(write_copy, image, for_stores, shared)
        together = plan.all_stores_must_succeed
        every = [new_copy(store, write, optional=not together) for store in targets]
        _fail_refused(every, targets)
        first = copies.begin(every, slots=_slots(ctx, targets))
        checkers = Checkers(data, digests, inspect=inspect and self.findings.format is None)
        report = _reporter(ctx, checkers, copies, data.size, self.slowest)
        copies.report = partial(report, 0, None)
        chunks = ctx.capped(data.chunks())
        consumers = [*checkers.consumers, *first]
        self.findings.size = fan_out(
            chunks if backing_file is None else _opened(chunks),
            consumers,
            report=report,
            spill=None if together else on_disk or Spill(ctx.work_file(".spill")),
            patience=ctx.limits.store_patience,
            give_up=len(first) == len(targets.accepting),
        )
        self.findings.waited_for = {item.label: round(item.channel.blocked, 3) for item in consumers}
        checkers.collect(self.findings)
        copies.spill = on_disk

    def require_accepted(self, record: ImageRecord, targets: Targets, copies: CopySet) -> None:
        """Fail the copies of stores that do not accept the format that all bytes have shown.

        It may differ from the likely one that the stores were called with. Raises the reason where all have to succeed.
        """
        targets.require(ImageFacts.of(record.disk_format))
        _fail_refused(copies, targets)

    def _fitted(self, image: Image, targets: Targets, ctx: HostContext, likely: ImageFormat | None) -> Image:
        """Return *image* as its stores need it: with a format, and as a file where they have to have one."""
        recorded, size = image.record.disk_format, image.record.size if self._plan.copies else None
        formats = possible_formats(recorded, likely, certain=self.findings.format is not None)

        def usable(path: Path | None) -> bool:
            return path is not None and (self._plan.copies or ctx.is_private(path))

        def require(data: ImageData) -> None:
            targets.require(ImageFacts.of_data(data, formats, size, cloned=usable(data.backing_file)))

        data = image.data
        require(data)
        if ctx.stream_only and not usable(data.path):
            targets.require_file(data.size)
        waiting = _slots(ctx, targets) < len(targets.accepting)
        if waiting or (not usable(data.path) and targets.for_which_to_spool(data.size)):
            data = ctx.spool(data)
            require(data)
        return image.evolve(data=data, disk_format=recorded or (likely and likely.disk_format))

    def _staged(self, record: ImageRecord, ctx: HostContext, meter: Meter) -> tuple[ImageData, str | None]:
        data = self._plan.method.stage(self._plan.source, record, ctx)
        return _measured(data, self._plan.method, meter, ctx.limits), data.name

    def _spooled(self, data: ImageData, ctx: HostContext) -> ImageData:
        if ctx.partial is None or data.path is not None:
            return ctx.spool(data)
        self.resumed = ctx.partial.start
        return ctx.partial.fill(
            data, lambda done, total: ctx.send(ProgressEvent(lane=STAGING, done=done, total=total))
        )

    def _require_properties(self, before: ImageRecord, after: ImageRecord, access: Access) -> None:
        """Raise ``NotAllowed`` when properties that come with the data, which the caller has chosen, are not allowed.

        Those that steps set are the operator's.
        """
        brought = {
            name: value
            for name, value in after.properties.items()
            if not name.startswith(RESERVED_PREFIX) and before.properties.get(name) != value
        }
        try:
            access.require_properties(before, brought)
        except ImageportError as error:
            raise self._plan.method.blamed(error, "transform") from None

    def _transformed(self, step: BoundStep, image: Image, ctx: HostContext) -> Image:
        def transform(meter: Meter) -> Image:
            self.verification.before(step)
            changed = step.transform(image, replace(ctx, unchanged=self.verification.unchanged))
            if changed.data is image.data:
                meter.bytes_out = meter.bytes_in
                return changed
            self.verification.after(image.data, changed.data)
            return changed.evolve(data=_measured(changed.data, step, meter, ctx.limits))

        return self._timed(step, "transform", ctx, transform)

    def _timed(self, step: BoundStep, hook: str, ctx: HostContext, call: Callable[[Meter], T]) -> T:
        def report(done: int, total: int | None) -> None:
            ctx.send(ProgressEvent(lane=step.label, done=done, total=total, waits=self.slowest()))

        meter = Meter(step.label, hook, report, self._meters[-1] if self._meters else None)
        self._meters.append(meter)
        ctx.send(StepEvent(kind="step.start", step=step.label, message=hook))
        started = time.monotonic()
        result = call(meter)
        meter.inclusive += time.monotonic() - started
        ctx.send(StepEvent(kind="step.end", step=step.label, message=hook))
        return result

    def _seconds(self) -> dict[str | None, float]:
        seconds: dict[str | None, float] = {}
        for meter in self._meters:
            seconds[meter.label] = seconds.get(meter.label, 0.0) + meter.seconds
        return seconds


def _fail_refused(copies: Iterable[Copy], targets: Targets) -> None:
    for copy in copies:
        if not copy.failed and (reason := targets.refused.get(copy.label)) is not None:
            copy.give_up(reason)


def _slots(ctx: HostContext, targets: Targets) -> int:
    return ctx.limits.max_parallel_stores or len(targets)


def _measured(data: ImageData, step: BoundStep, meter: Meter, limits: Limits) -> ImageData:
    """Return *data* with its bytes counted by *meter*, and with *step* named in any error of its stream.

    A file passes as it is: reading it later is not this step's work.
    """
    if data.path is not None:
        meter.bytes_out = data.size or 0
        return data
    meter.streams = True
    return data.counted(lambda chunks: meter.counted(step.guard(chunks, meter.hook, limits), data.size))


def _opened(chunks: Chunks) -> Chunks:
    """Open the file of *chunks* now: a store may move the file away as soon as it starts."""
    first = next(chunks, b"")

    def all_chunks() -> Chunks:
        yield first
        yield from chunks

    return all_chunks()


def _reporter(
    ctx: HostContext,
    checkers: Checkers,
    copies: CopySet,
    size: int | None,
    slowest_stage: Callable[[], str | None],
) -> Callable[[int, str | None], None]:
    def report(_done: int, waits: str | None) -> None:
        waits = waits or slowest_stage()
        if (digested := checkers.digested) is not None:
            ctx.send(ProgressEvent(lane="digests", done=digested, total=size, waits=waits))
        for copy in copies:
            done = copy.channel.taken
            ctx.send(ProgressEvent(store=copy.label, lane=copy.label, done=done, total=size, waits=waits))

    return report
