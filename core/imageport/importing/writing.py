"""The one pass over the finished bytes: digests, inspection and all stores side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from imageport.context import Context
from imageport.data import Chunks, ImageData
from imageport.errors import StoreFailed
from imageport.importing.fanout import Consumer, fan_out
from imageport.importing.report import StoreReport
from imageport.inspection import FormatInspection, ImageFormat
from imageport.plugins.binding import BoundStep
from imageport.values import Image, PendingCopy

Copy = Consumer[PendingCopy]


@dataclass
class WrittenImage:
    """What the pass has found out about the bytes, and the copies that wait for the verdict."""

    size: int = 0
    digests: dict[str, str] = field(default_factory=dict)
    format: ImageFormat | None = None
    copies: dict[str, Copy] = field(default_factory=dict)


def write_everywhere(
    image: Image, stores: Sequence[BoundStep], ctx: Context, *,
    digests: Sequence[str], inspect: bool, all_must_succeed: bool, written: WrittenImage,
    prepare: Callable[[str], None],
) -> None:  # fmt: skip
    """Read the image once and give it to all *stores*, filling in *written* on the way.

    *prepare* is told the label of each store before its first byte.
    With ``limits.max_parallel_stores`` below the number of stores, the bytes are spooled and the further batches read
    the spool. When this raises, *written* holds the copies that have to be discarded.
    """
    batch_size = ctx.limits.max_parallel_stores or len(stores)
    batches = [stores[start : start + batch_size] for start in range(0, len(stores), batch_size)]
    data = ctx.spool(image.data) if len(batches) > 1 else image.data
    for number, batch in enumerate(batches):
        for store in batch:
            prepare(store.label)
        copies = [
            Consumer(store.label, partial(_write_one, store, image, ctx), optional=not all_must_succeed)
            for store in batch
        ]
        written.copies.update({copy.label: copy for copy in copies})
        hashes = [Consumer(name, partial(_digest, name)) for name in digests] if number == 0 else []
        looks = [Consumer("inspection", _inspect)] if number == 0 and inspect else []
        size = fan_out(
            ctx.capped(data.chunks()),
            [*hashes, *looks, *copies],
            size=data.size,
            report=_reporter(ctx, copies, data.size),
            give_up=len(batches) == 1,
        )
        if number == 0:
            written.size = size
            written.digests = {consumer.label: consumer.outcome() for consumer in hashes}
            written.format = looks[0].outcome() if looks else None
        for copy in copies:
            if all_must_succeed:
                copy.outcome()
            elif len(batches) > 1:
                copy.wait()


def _write_one(store: BoundStep, image: Image, ctx: Context, data: ImageData) -> PendingCopy:
    taken = 0

    def counted(chunks: Chunks) -> Chunks:
        nonlocal taken
        for piece in chunks:
            taken += len(piece)
            yield piece

    stream = data.through(counted, size=data.size)
    copy = store.store_write(Image(image.record, stream), ctx)
    if not stream.finished or copy.bytes_written != taken:
        copy.discard()
        raise store.blamed(
            StoreFailed(
                f"the store took {copy.bytes_written} bytes where it was to take the whole image",
                hint=f"this looks like a defect of {store.distribution}: report it to its authors",
            ),
            "store_write",
        )
    return copy


def _digest(name: str, data: ImageData) -> str:
    digest = hashlib.new(name, usedforsecurity=False)
    for piece in data.chunks():
        digest.update(piece)
    return digest.hexdigest()


def _inspect(data: ImageData) -> ImageFormat:
    inspection = FormatInspection()
    for piece in data.chunks():
        inspection.feed(piece)
    return inspection.finish()


def _reporter(ctx: Context, copies: Sequence[Copy], size: int | None) -> Callable[[int, str | None], None]:
    def report(_done: int, waits: str | None) -> None:
        for copy in copies:
            ctx.report(
                "progress", lane=copy.label, store=copy.label, done=copy.pipe.taken, total=size, waits=waits
            )

    return report


def store_report(copy: Copy, *, published: bool) -> StoreReport:
    """Tell what became of one copy."""
    report = StoreReport(seconds=round(copy.seconds, 3), bytes_written=copy.pipe.taken, status="discarded")
    if copy.failed:
        report.status, report.error = "failed", str(copy.error)
    elif published:
        report.status, report.location = "published", copy.outcome().location.url
    return report
