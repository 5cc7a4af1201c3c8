"""One read of the image feeds every consumer at the same time: digests, inspection and all stores."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

from imageport.dataplane.buffers import Chunk, Chunks, rechunked
from imageport.dataplane.sparse import zeros_marked
from imageport.importing.backlog import Backlog
from imageport.importing.consumer import Consumer, stalled

log = logging.getLogger(__name__)

#: Seconds between two looks at how far the consumers are.
REPORT_INTERVAL = 0.2

#: Seconds that consumers have to notice that the data ended with an error; a store that is stuck is left behind.
LAST_WAIT = 30.0


def fan_out(
    chunks: Chunks,
    consumers: Sequence[Consumer[Any]],
    *,
    size: int | None,
    report: Callable[[int, str | None], None],
    backlog: Backlog | None = None,
    patience: float | None = None,
    give_up: bool = True,
) -> int:
    """Read *chunks* once, hand every piece to all *consumers*, and return the number of bytes.

    Returns at the end of the data, when consumers may still be at work. A consumer that fails drops out alone if it
    is ``optional``; when a needed one has failed, the rest of the data is not read, nor when no optional one is left
    (unless *give_up* is false). An optional consumer that cannot keep up reads from *backlog*, if there is one; any
    other that takes nothing for *patience* seconds has failed. Whatever *chunks* raises is raised here and in every
    consumer. *report* is called about five times a second with the bytes so far and the label that the stream waited
    for longest (None: for its source).
    """
    stores = [consumer for consumer in consumers if consumer.optional]
    total = 0
    pace = _Pace(consumers, report)
    try:
        for consumer in consumers:
            consumer.start(size)
        for piece in pace.timed(zeros_marked(rechunked(chunks))):
            for consumer in consumers:
                others = [store for store in stores if store is not consumer]
                _feed(consumer, piece, others, backlog, patience)
            if backlog is not None and any(consumer.pipe.behind for consumer in consumers):
                backlog.append(piece, total)
            if give_up and stores and all(store.failed for store in stores):
                stores[0].outcome()
            total += len(piece)
            pace.tell(total)
        for consumer in consumers:
            consumer.pipe.close()
        if backlog is not None:
            backlog.close()
    except BaseException as error:
        for consumer in consumers:
            consumer.pipe.close(error)
        _close(chunks)
        deadline = time.monotonic() + LAST_WAIT
        for consumer in consumers:
            consumer.wait(max(0.0, deadline - time.monotonic()))
        raise
    return total


def _close(chunks: Chunks) -> None:
    """Let go of what is behind the stream: whoever keeps the error would keep it open."""
    if isinstance(chunks, Generator):
        try:
            chunks.close()
        except Exception:
            log.warning("the source could not be closed", exc_info=True)


def _feed(
    consumer: Consumer[Any],
    piece: Chunk,
    others: Sequence[Consumer[Any]],
    backlog: Backlog | None,
    patience: float | None,
) -> None:
    blocked = consumer.pipe.blocked
    try:
        if consumer.optional and backlog is not None:
            taken = consumer.pipe.put(piece, patience=consumer.may_hold_up, backlog=backlog)
        else:
            taken = consumer.pipe.put(piece, patience=patience)
    except TimeoutError:
        consumer.give_up(stalled(consumer.label, consumer.idle))
        taken = False
    if any(other.pipe.starving for other in others):
        consumer.held_up += consumer.pipe.blocked - blocked
    if not taken and not consumer.optional:
        consumer.raise_for_leaving()


class _Pace:
    """Finds out what the stream waits for."""

    def __init__(self, consumers: Sequence[Consumer[Any]], report: Callable[[int, str | None], None]) -> None:
        self._consumers = consumers
        self._report = report
        self._reading = 0.0
        self._last = float("-inf")
        self._before: dict[str, float] = {}

    def timed(self, chunks: Chunks) -> Chunks:
        while True:
            started = time.monotonic()
            piece = next(chunks, None)
            self._reading += time.monotonic() - started
            if piece is None:
                return
            yield piece

    def tell(self, total: int) -> None:
        now = time.monotonic()
        if now - self._last < REPORT_INTERVAL:
            return
        self._last = now
        waits = {consumer.label: consumer.pipe.blocked for consumer in self._consumers}
        spent = {label: seconds - self._before.get(label, 0.0) for label, seconds in waits.items()}
        self._before = waits
        reading, self._reading = self._reading, 0.0
        slowest = max(spent, key=lambda label: spent[label], default=None)
        self._report(total, slowest if slowest is not None and spent[slowest] > reading else None)
