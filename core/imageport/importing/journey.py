"""The way of an image from its source through the steps, up to where the stores begin."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from imageport.access.permissions import Access
from imageport.data import ImageData
from imageport.errors import ImageportError
from imageport.events import ProgressEvent, StepEvent
from imageport.importing.context_factory import STAGING, HostContext
from imageport.importing.evidence import Evidence
from imageport.importing.metering import Meter
from imageport.importing.plan import Plan
from imageport.importing.report import StageReport
from imageport.importing.slowest import SlowestStage
from imageport.plugins.binding import BoundStep
from imageport.redaction import redact
from imageport.values import RESERVED_PREFIX, Image, ImageRecord

T = TypeVar("T")


class Journey:
    """Calls the method and the steps of *plan*, and knows what each has done with the bytes.

    ``slowest()`` names the stage that the bytes wait for, ``resumed`` are the bytes that were here from before.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._meters: list[Meter] = []
        self.slowest = SlowestStage(self._meters)
        self.evidence = Evidence()
        self.resumed = 0

    @property
    def begun(self) -> bool:
        """Whether the method had opened its source."""
        return bool(self._meters) and self._meters[0].stream is not None

    @property
    def bytes_read(self) -> int:
        """Bytes that came from the source."""
        return self._meters[0].bytes_out if self._meters else 0

    def stages(self) -> list[StageReport]:
        """Return what each hook has done so far."""
        return [
            StageReport(
                meter.step.label, meter.hook, round(meter.seconds, 3), meter.bytes_in, meter.bytes_out
            )
            for meter in self._meters
        ]

    def restart(self) -> None:
        """Forget everything, to begin again with other data."""
        self._meters.clear()
        self.evidence.restart()

    def check_drained(self) -> None:
        """Raise ``StepCrashed`` when a step has left part of its data unread."""
        for meter in self._meters:
            meter.check_drained()

    def bring(
        self, record: ImageRecord, access: Access, ctx: HostContext, *, named_by_source: bool = False
    ) -> Image:
        """Stage the image and send it through the steps; most of its bytes are still to be read afterwards.

        With *named_by_source* the image gets the name that its source has for the file, if the method knows one.
        """
        method = self._plan.method
        self.evidence.enter(method)

        def stage(meter: Meter) -> ImageData:
            nonlocal record
            data = method.stage(self._plan.source, record, ctx)
            if named_by_source and data.name:
                record = record.evolve(name=redact(data.name, self._plan.secrets))
            return meter.measure(data)

        data = self._timed(method, "stage", ctx, stage)
        ctx.require_below_cap(data.size)
        if data.path is None:
            data = data.counted(ctx.capped)
        image = Image(record, self._spooled(data, ctx) if self._plan.spool_first else data)
        for step in (method, *self._plan.steps):
            if "transform" in step.answers:
                image = self._transformed(step, image, ctx)
            if step is method:
                self._require_properties(record, image.record, access)
        return image

    def _spooled(self, data: ImageData, ctx: HostContext) -> ImageData:
        if ctx.partial is None or data.path is not None:
            return ctx.spool(data)
        self.resumed = ctx.partial.start
        return ctx.partial.fill(
            data, ctx, lambda done, total: ctx.send(ProgressEvent(lane=STAGING, done=done, total=total))
        )

    def _require_properties(self, before: ImageRecord, after: ImageRecord, access: Access) -> None:
        """Hold properties that come with the data, which the caller has chosen, against what the caller may set.

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
            self.evidence.enter(step)
            changed = step.transform(image, replace(ctx, unchanged=self.evidence.unchanged))
            if changed.data is image.data:
                meter.bytes_out = meter.bytes_in
                return changed
            self.evidence.leave(image.data, changed.data)
            return changed.evolve(data=meter.measure(changed.data))

        return self._timed(step, "transform", ctx, transform)

    def _timed(self, step: BoundStep, hook: str, ctx: HostContext, call: Callable[[Meter], T]) -> T:
        def tell(done: int, total: int | None) -> None:
            ctx.send(ProgressEvent(lane=step.label, done=done, total=total, waits=self.slowest()))

        meter = Meter(step, hook, tell, self._meters[-1] if self._meters else None)
        self._meters.append(meter)
        ctx.send(StepEvent(kind="step.start", step=step.label, message=hook))
        started = time.monotonic()
        result = call(meter)
        meter.inclusive += time.monotonic() - started
        ctx.send(StepEvent(kind="step.end", step=step.label, message=hook))
        return result
