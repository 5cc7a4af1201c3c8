"""One read of the image feeds every consumer at the same time: digests, inspection and all stores."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from imageport.data import Chunks, ImageData
from imageport.importing.pipe import Pipe

T = TypeVar("T")

#: Seconds between two looks at how far the consumers are.
REPORT_INTERVAL = 0.2

#: Seconds that consumers have to notice that the data ended with an error; a store that is stuck is left behind.
LAST_WAIT = 30.0


class Consumer(Generic[T]):
    """One reader of the stream, in a thread of its own.

    ``outcome()`` returns what *work* returned or raises what it raised. Without ``optional``, its failure ends the
    whole fan-out.
    """

    def __init__(self, label: str, work: Callable[[ImageData], T], *, optional: bool = False) -> None:
        self.label = label
        self.optional = optional
        self.pipe = Pipe()
        self.seconds = 0.0
        self.error: BaseException | None = None
        self._work = work
        self._result: T | None = None
        self._thread: threading.Thread | None = None

    def start(self, size: int | None) -> None:
        """Start reading a stream of *size* bytes (None when unknown)."""
        data = ImageData.from_chunks(self.pipe.chunks, size=size)
        self._thread = threading.Thread(target=self._run, args=(data,), name=self.label, daemon=True)
        self._thread.start()

    def _run(self, data: ImageData) -> None:
        started = time.monotonic()
        try:
            self._result = self._work(data)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asks for the outcome
            self.error = error
        finally:
            self.seconds = time.monotonic() - started
            self.pipe.abandon()

    @property
    def running(self) -> bool:
        """Whether the thread is still at work."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def failed(self) -> bool:
        """Whether the work ended with an error of its own, not with one that came with the data."""
        return self.error is not None and not self.pipe.broken

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the end of the work, if it was begun."""
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join(timeout)

    @property
    def result(self) -> T | None:
        """What the work returned; None while it goes on, and when it failed."""
        return self._result

    def outcome(self) -> T:
        """Return the result. Raises what the work raised."""
        self.wait()
        if self.error is not None:
            raise self.error
        return self._result  # type: ignore[return-value]

    def raise_for_leaving(self) -> None:
        """Raise why this consumer takes no more data."""
        self.outcome()
        raise RuntimeError(f"{self.label} stopped reading before the end of the image")


def fan_out(
    chunks: Chunks,
    consumers: Sequence[Consumer[Any]],
    *,
    size: int | None,
    report: Callable[[int, str | None], None],
    give_up: bool = True,
) -> int:
    """Read *chunks* once, hand every piece to all *consumers*, and return the number of bytes.

    Returns at the end of the data, when consumers may still be at work. A consumer that fails drops out alone if it
    is ``optional``; when a needed one has failed, the rest of the data is not read, nor when no optional one is left
    (unless *give_up* is false). Whatever *chunks* raises is raised here and in every consumer. *report* is called
    about five times a second with the bytes so far and the label that the stream waited for longest (None: for its
    source).
    """
    stores = [consumer for consumer in consumers if consumer.optional]
    total = 0
    pace = _Pace(consumers, report)
    try:
        for consumer in consumers:
            consumer.start(size)
        for piece in pace.timed(chunks):
            for consumer in consumers:
                if not consumer.pipe.put(piece) and not consumer.optional:
                    consumer.raise_for_leaving()
            if give_up and stores and all(store.failed for store in stores):
                stores[0].outcome()
            total += len(piece)
            pace.tell(total)
        for consumer in consumers:
            consumer.pipe.close()
    except BaseException as error:
        for consumer in consumers:
            consumer.pipe.close(error)
        deadline = time.monotonic() + LAST_WAIT
        for consumer in consumers:
            consumer.wait(max(0.0, deadline - time.monotonic()))
        raise
    return total


class _Pace:
    """Finds out what the stream waits for."""

    def __init__(self, consumers: Sequence[Consumer[Any]], report: Callable[[int, str | None], None]) -> None:
        self._consumers = consumers
        self._report = report
        self._reading = 0.0
        self._last = time.monotonic()
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
