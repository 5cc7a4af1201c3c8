"""The one pass over the finished bytes: digests, inspection and all stores side by side."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from imageport.data import ImageData
from imageport.dataplane.buffers import Chunks
from imageport.dataplane.digests import new_hasher
from imageport.dataplane.inspection import FormatInspection, ImageFormat
from imageport.errors import Cancelled, StoreFailed
from imageport.events import ProgressEvent
from imageport.importing.backlog import Backlog
from imageport.importing.consumer import Consumer
from imageport.importing.context_factory import HostContext
from imageport.importing.fanout import LAST_WAIT, fan_out
from imageport.importing.report import StoreReport
from imageport.plugins.binding import BoundStep, StepContexts
from imageport.values import Image, Location, PendingCopy

log = logging.getLogger(__name__)

Copy = Consumer[PendingCopy]

#: Seconds that stores which were given up have to come to their end.
_LEAVING = 2.0


@dataclass
class WrittenImage:
    """What the pass has found out about the bytes, and the copies that wait for the verdict.

    No more than *places* copies are written at the same time. Those that got no place in the pass follow from
    *backlog*.
    """

    size: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    waited_for: dict[str, float] = field(default_factory=dict)
    format: ImageFormat | None = None
    copies: dict[str, Copy] = field(default_factory=dict)
    places: int = 0
    backlog: Backlog | None = None
    report: Callable[[int, str | None], None] = lambda _done, _waits: None

    def restart(self) -> None:
        """Throw away what was written, to begin again with other data."""
        discard_all(self.copies.values())
        self.copies.clear()

    def go_on(self) -> None:
        """Start the next copies, as far as there are places and no needed one failed, and tell how far all are."""
        # A store that is stuck and was given up takes no place.
        running = sum(copy.started and not copy.ended for copy in self.copies.values())
        over = any(copy.failed and not copy.optional for copy in self.copies.values())
        for copy in self.copies.values():
            if not (copy.started or over) and self.backlog is not None and running < self.places:
                copy.start_late(self.backlog, self.size)
                running += 1
        self.report(self.size, None)


def write_everywhere(
    image: Image, stores: Sequence[BoundStep], ctx: HostContext, *,
    digests: Sequence[str], inspect: bool, copies: bool, all_must_succeed: bool, written: WrittenImage,
    slowest_stage: Callable[[], str | None] = lambda: None,
) -> None:  # fmt: skip
    """Read the image once and give it to *stores*, filling in *written* on the way.

    With ``limits.max_parallel_stores`` below the number of stores, the bytes are spooled, and the stores that have to
    wait read the spool later. With *copies* the bytes are those of a stored image, which stays. *slowest_stage* names
    what takes the time when the stream waits for its data. When this raises, *written* holds the copies that have to
    be discarded.
    """
    written.places = ctx.limits.max_parallel_stores or len(stores)
    data = image.data if written.places >= len(stores) else ctx.spool(image.data)
    # A file of the caller may change any time: a store must not take other bytes than were checked.
    backing_file = data.backing_file
    if backing_file is not None and not copies and not ctx.is_private(backing_file):
        backing_file = None
    for_stores = ctx.offer_file(backing_file) if backing_file is not None and not copies else ctx
    every = [
        Consumer(
            store.label,
            partial(_write_one, store, image, for_stores, backing_file),
            optional=not all_must_succeed,
            too_late=partial(_discard, store.label),
        )
        for store in stores
    ]
    written.copies.update({copy.label: copy for copy in every})
    first = every[: written.places]
    # A check that saw these very bytes makes its digest of them.
    hashes = [Consumer(name, partial(_digest, name)) for name in digests if name not in data.digests]
    written.report = _reporter(ctx, hashes, every, data.size, slowest_stage)
    looks = [Consumer("inspection", _inspect)] if inspect else []
    everybody: list[Consumer[Any]] = [*hashes, *looks, *first]
    # Nor must whoever lags behind.
    on_disk = Backlog.of_file(data.path) if data.path is not None and ctx.is_private(data.path) else None
    chunks = ctx.capped(data.chunks())
    written.size = fan_out(
        chunks if backing_file is None else _opened(chunks),
        everybody,
        size=data.size,
        report=written.report,
        backlog=None if all_must_succeed else on_disk or Backlog(ctx.work_file(".backlog")),
        patience=ctx.limits.store_patience,
        give_up=len(first) == len(every),
    )
    written.waited_for = {consumer.label: round(consumer.pipe.blocked, 3) for consumer in everybody}
    made = {consumer.label: consumer.outcome() for consumer in hashes}
    written.digests = {name: made[name] if name in made else data.digest(name) for name in digests}
    if looks:
        written.format = looks[0].outcome()
    written.backlog = on_disk


def _opened(chunks: Chunks) -> Chunks:
    """Open what is behind *chunks* now: a store may move the file away as soon as it starts."""
    first = next(chunks, b"")

    def all_of_them() -> Chunks:
        yield first
        yield from chunks

    return all_of_them()


def _write_one(
    store: BoundStep, image: Image, ctx: StepContexts, backing_file: Path | None, data: ImageData
) -> PendingCopy:
    taken = 0

    def counted(chunks: Chunks) -> Chunks:
        nonlocal taken
        for piece in chunks:
            taken += len(piece)
            yield piece

    stream = ImageData(lambda: counted(data.chunks()), size=data.size, backing_file=backing_file)
    copy = store.store_write(Image(image.record, stream), ctx)
    if not stream.finished or copy.bytes_written != taken:
        _discard(store.label, copy)
        raise store.blamed(
            StoreFailed(
                f"the store took {copy.bytes_written} bytes where it was to take the whole image",
                hint=f"this looks like a defect of {store.distribution}: report it to its authors",
            ),
            "store_write",
        )
    return _OneEnd(copy)


class _OneEnd:
    """A copy that is published or discarded; discarding it after either does nothing."""

    def __init__(self, copy: PendingCopy) -> None:
        self._copy = copy
        self._over = False

    @property
    def location(self) -> Location:
        return self._copy.location

    @property
    def bytes_written(self) -> int:
        return self._copy.bytes_written

    def publish(self) -> None:
        self._over = True
        self._copy.publish()

    def discard(self) -> None:
        if not self._over:
            self._over = True
            self._copy.discard()


def _discard(label: str, copy: PendingCopy) -> None:
    try:
        copy.discard()
    except Exception:  # the deletion by location that follows has the last word
        log.warning("store %s could not discard its copy", label, exc_info=True)


def _digest(name: str, data: ImageData) -> str:
    digest = new_hasher(name)
    for piece in data.chunks():
        digest.update(piece)
    return digest.hexdigest()


def _inspect(data: ImageData) -> ImageFormat:
    inspection = FormatInspection()
    for piece in data.chunks():
        inspection.feed(piece)
    return inspection.finish()


def _reporter(
    ctx: HostContext,
    hashes: Sequence[Consumer[str]],
    copies: Sequence[Copy],
    size: int | None,
    slowest_stage: Callable[[], str | None],
) -> Callable[[int, str | None], None]:
    def report(_done: int, waits: str | None) -> None:
        waits = waits or slowest_stage()
        if hashes:
            taken = min(digest.pipe.taken for digest in hashes)
            ctx.send(ProgressEvent(lane="digests", done=taken, total=size, waits=waits))
        for copy in copies:
            taken = copy.pipe.taken
            ctx.send(ProgressEvent(store=copy.label, lane=copy.label, done=taken, total=size, waits=waits))

    return report


def stuck_stores(copies: Iterable[Copy]) -> list[str]:
    """Return the stores that are still at work, after a moment for those that were given up to notice it."""
    deadline = time.monotonic() + _LEAVING
    return [copy.label for copy in copies if copy.is_stuck(max(0.0, deadline - time.monotonic()))]


def store_report(copy: Copy, *, published: bool) -> StoreReport:
    """Tell what became of one copy."""
    report = StoreReport(seconds=round(copy.seconds, 3), bytes_written=copy.pipe.taken, status="discarded")
    if copy.failed:
        report.status, report.error = "failed", str(copy.error)
    elif published:
        report.status, report.location = "published", copy.outcome().location.url
    return report


def discard_all(copies: Iterable[Copy]) -> None:
    """Throw away the copies that are written and not published; a store that is stuck is left behind."""
    copies = list(copies)
    for copy in copies:
        copy.pipe.close(Cancelled("the import has ended"))
    deadline = time.monotonic() + LAST_WAIT
    for copy in copies:
        copy.wait(max(0.0, deadline - time.monotonic()))
        if copy.running:
            copy.give_up(Cancelled("the import has ended"))
        if copy.result is not None and not copy.running:
            patience = max(_LEAVING, deadline - time.monotonic())
            copy.end_with(partial(_discard, copy.label, copy.result), patience=patience)
