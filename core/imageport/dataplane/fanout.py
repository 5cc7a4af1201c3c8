"""Fan-out: one read of an image feeds all consumers at the same time, each in a separate thread."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from imageport.cleaning import logged
from imageport.dataplane.buffers import Chunk, Chunks, rechunked
from imageport.dataplane.channel import Channel, Spill
from imageport.dataplane.sparse import zeros_marked
from imageport.errors import StoreFailed

T = TypeVar("T")

log = logging.getLogger(__name__)

#: Seconds between two reports of how far the consumers are.
REPORT_INTERVAL = 0.2

#: Seconds that consumers have to notice that the data ended with an error.
_LAST_WAIT = 1.0

#: Seconds for which an optional consumer may delay the others, and the share of the time on top of that; a consumer
#: that lags more reads from the spill file.
LAG = 1.0
LAG_SHARE = 0.1


class Consumer(Generic[T]):
    """A fan-out consumer running in its own thread.

    *work* gets the bytes; ``outcome()`` returns its result or raises its error. Unless the consumer is
    ``optional``, its failure ends the whole fan-out.
    """

    def __init__(self, label: str, work: Callable[[Chunks], T], *, optional: bool = False) -> None:
        self.label = label
        self.optional = optional
        self.channel = Channel()
        self.error: BaseException | None = None
        self._result: T | None = None
        self._thread = threading.Thread(target=self._run, args=(work,), name=label, daemon=True)
        self._began = 0.0
        #: When the work was over (seconds of the monotonic clock); 0 before.
        self.ended_at = 0.0

    def start(self) -> None:
        """Start the work."""
        self._began = self.channel.busy_since = time.monotonic()
        self._thread.start()

    def _run(self, work: Callable[[Chunks], T]) -> None:
        try:
            try:
                result = work(self.channel.chunks())
            finally:
                self.ended_at = time.monotonic()
            self._returned(result)
        except BaseException as error:  # noqa: BLE001 - passed to the thread that asks for the outcome
            self._raised(error)
        finally:
            self.channel.abandon()

    def _returned(self, result: T) -> None:
        self._result = result

    def _raised(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error

    def abandon(self, error: BaseException) -> None:
        """Fail with *error* unless the work is done; its thread is left behind."""
        if self._result is None and self.error is None:
            self.error = error
        self.channel.abandon()

    def is_stuck(self, timeout: float) -> bool:
        """Return whether the store is still at work after *timeout* seconds, abandoned or not."""
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return self.running

    @property
    def abandoned(self) -> bool:
        """True when the thread was left behind, even if it still runs."""
        return self.error is not None and not self.ended_at

    @property
    def running(self) -> bool:
        """True when the thread is still at work."""
        return self._thread.is_alive()

    @property
    def failed(self) -> bool:
        """True when the work ended with an error, but not one that came with the data."""
        return self.error is not None and not self.channel.broken

    @property
    def stalled_for(self) -> float:
        """Seconds since the running work took data, or since all of them had come."""
        return time.monotonic() - self.channel.busy_since if self.running else 0.0

    @property
    def lag_budget(self) -> float:
        """Seconds for which this consumer may still delay the others."""
        return max(0.0, LAG + LAG_SHARE * (time.monotonic() - self._began) - self.channel.lag)

    @property
    def seconds(self) -> float:
        """Seconds that the work took; 0 while it goes on."""
        return self.ended_at - self._began if self.ended_at else 0.0

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the end of the work, if it was begun and not abandoned."""
        if self._thread.ident is not None and not self.abandoned:
            self._thread.join(timeout)

    def outcome(self) -> T:
        """Return the result of the work. Raises its error."""
        self.wait()
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]


def stalled(label: str, seconds: float) -> StoreFailed:
    """Return the error of a store that makes no progress."""
    return StoreFailed(
        f"store '{label}' has done nothing for {seconds:.0f} s",
        hint="check the store; if it needs that long, raise limits.store_patience in the site file",
    )


class Slowest:
    """Names the label whose *seconds* grew most between two looks; None where they did not grow."""

    def __init__(
        self, seconds: Callable[[], Mapping[str | None, float]], *, interval: float = REPORT_INTERVAL
    ) -> None:
        self._seconds = seconds
        self._interval = interval
        self._before: Mapping[str | None, float] = {}
        self._looked = float("-inf")
        self._answer: str | None = None

    def __call__(self) -> str | None:
        """Return the label; within *interval* seconds, the same one again."""
        if (moment := time.monotonic()) - self._looked < self._interval:
            return self._answer
        self._looked = moment
        now: dict[str | None, float] = {None: 0.0, **self._seconds()}
        grown = {label: seconds - self._before.get(label, 0.0) for label, seconds in now.items()}
        self._before = now
        self._answer = max(grown, key=lambda label: grown[label])
        return self._answer


def fan_out(
    chunks: Chunks,
    consumers: Sequence[Consumer[Any]],
    *,
    report: Callable[[int, str | None], None],
    spill: Spill | None = None,
    patience: float | None = None,
    give_up: bool = True,
) -> int:
    """Read *chunks* once, pass every chunk to all *consumers*, and return the number of bytes.

    Returns at the end of the data, when consumers may still be at work. A consumer that fails drops out alone if it
    is ``optional``; when a needed one has failed, the rest of the data is not read, nor when no optional one is left
    (unless *give_up* is false). An optional consumer that lags reads from *spill*, if there is one; any other that
    takes nothing for *patience* seconds has failed. An error of *chunks* is raised here and in every consumer.
    *report* is called about five times a second with the bytes so far and the label that the stream waited for longest
    (None: for its source).
    """
    stores = [consumer for consumer in consumers if consumer.optional]
    total = 0
    pace = _Pace(consumers, report)
    try:
        for consumer in consumers:
            consumer.start()
        for chunk in pace.timed(zeros_marked(rechunked(chunks))):
            for consumer in consumers:
                others = [store for store in stores if store is not consumer]
                _feed(consumer, chunk, others, spill, patience)
            if spill is not None and any(consumer.channel.spilled for consumer in consumers):
                spill.append(chunk, total)
            if give_up and stores and all(store.failed for store in stores):
                stores[0].outcome()
            total += len(chunk)
            pace.report(total)
        for consumer in consumers:
            consumer.channel.close()
        if spill is not None:
            spill.close()
    except BaseException as error:
        _break_off(chunks, consumers, error)
        raise
    return total


def _feed(
    consumer: Consumer[Any],
    chunk: Chunk,
    others: Sequence[Consumer[Any]],
    spill: Spill | None,
    patience: float | None,
) -> None:
    channel = consumer.channel
    blocked = channel.blocked
    try:
        if consumer.optional and spill is not None:
            taken = channel.put(chunk, patience=consumer.lag_budget, spill=spill)
        else:
            taken = channel.put(chunk, patience=patience)
    except TimeoutError:
        consumer.abandon(stalled(consumer.label, consumer.stalled_for))
        taken = False
    if any(other.channel.idle for other in others):
        channel.lag += channel.blocked - blocked
    if not taken and not consumer.optional:
        consumer.outcome()
        raise RuntimeError(f"{consumer.label} stopped reading before the end of the image")


def _break_off(chunks: Chunks, consumers: Sequence[Consumer[Any]], error: BaseException) -> None:
    """End the data with *error*, and wait until the consumers have noticed it."""
    for consumer in consumers:
        consumer.channel.close(error)
    if isinstance(chunks, Generator):
        # A reference to the error would keep the source of the stream open.
        with logged("close the source of the image"):
            chunks.close()
    deadline = time.monotonic() + _LAST_WAIT
    for consumer in consumers:
        consumer.wait(max(0.0, deadline - time.monotonic()))


class _Pace:
    """Finds the consumer that the stream waits for, and reports it at intervals."""

    def __init__(self, consumers: Sequence[Consumer[Any]], report: Callable[[int, str | None], None]) -> None:
        self._consumers = consumers
        self._report = report
        self._reading = 0.0
        self._last = float("-inf")
        self._slowest = Slowest(self._seconds, interval=0.0)

    def _seconds(self) -> dict[str | None, float]:
        return {None: self._reading} | {item.label: item.channel.blocked for item in self._consumers}

    def timed(self, chunks: Chunks) -> Chunks:
        while True:
            started = time.monotonic()
            chunk = next(chunks, None)
            self._reading += time.monotonic() - started
            if chunk is None:
                return
            yield chunk

    def report(self, total: int) -> None:
        if (now := time.monotonic()) - self._last < REPORT_INTERVAL:
            return
        self._last = now
        self._report(total, self._slowest())
