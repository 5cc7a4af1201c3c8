"""One of those who read the image during the pass: a digest, the inspection, or a store."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from imageport.data import ImageData
from imageport.errors import StoreFailed
from imageport.importing.backlog import Backlog
from imageport.importing.pipe import Pipe

T = TypeVar("T")

#: Seconds that one who need not succeed may hold up the others in all, and the share of the time that it may cost
#: them on top of that; then it reads from the backlog.
HOLD_UP = 1.0
HOLD_UP_SHARE = 0.1

#: Seconds between two looks whether an import has to stop.
_GLANCE = 0.05


class Consumer(Generic[T]):
    """One reader of the stream, in a thread of its own.

    ``outcome()`` returns what *work* returned or raises what it raised. Without ``optional``, its failure ends the
    whole fan-out. *too_late* gets what the work returned after it was given up.
    """

    def __init__(
        self,
        label: str,
        work: Callable[[ImageData], T],
        *,
        optional: bool = False,
        too_late: Callable[[T], None] = lambda _result: None,
    ) -> None:
        self.label = label
        self.optional = optional
        self._too_late = too_late
        self._given_up = False
        self._ended_at = 0.0
        self._ending = threading.Lock()
        self.pipe = Pipe()
        self.seconds = 0.0
        #: Seconds that others had to wait for this one, with nothing to do.
        self.held_up = 0.0
        self._started_at = 0.0
        self.error: BaseException | None = None
        self._work = work
        self._result: T | None = None
        self._thread: threading.Thread | None = None

    def start(self, size: int | None) -> None:
        """Start reading a stream of *size* bytes (None when unknown)."""
        data = ImageData.from_chunks(self.pipe.chunks, size=size)
        self._started_at = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(data,), name=self.label, daemon=True)
        self._thread.start()

    def start_late(self, backlog: Backlog, size: int) -> None:
        """Start reading the image of *size* bytes from *backlog*, after the pass."""
        self.pipe.read_later(backlog)
        self.start(size)

    def _run(self, data: ImageData) -> None:
        self.pipe.busy_since = self._started_at
        try:
            result = self._work(data)
            with self._ending:
                if not self._given_up:
                    self._result = result
            if self._given_up:
                self._too_late(result)
        except BaseException as error:  # noqa: BLE001 - handed to the thread that asks for the outcome
            if not self._given_up:
                self.error = error
        finally:
            self._ended_at = time.monotonic()
            self.seconds = self._ended_at - self._started_at
            self.pipe.abandon()

    def give_up(self, error: BaseException) -> None:
        """Fail with *error* unless the work is done: nobody waits for it any longer, and its result is thrown away."""
        with self._ending:
            if self._result is None and self.error is None:
                self._given_up = True
                self._ended_at = time.monotonic()
                self.error = error
        self.pipe.abandon()

    def throw_away(self, error: BaseException) -> None:
        """Fail with *error* even if the work is done; what it has brought goes the way of late results."""
        self.give_up(error)
        result, self._result = self._result, None
        if result is not None:
            self.error = error
            self._too_late(result)

    def end_with(
        self, action: Callable[[], None], *, patience: float, check: Callable[[], None] = lambda: None
    ) -> Exception | SystemExit | None:
        """Do *action* after the work, in a thread again, and return what it raised.

        A store that is stuck for *patience* seconds is given up, as while it works. *check* is called while waiting;
        what it raises is raised here.
        """
        raised: list[Exception | SystemExit] = []

        def run() -> None:
            try:
                action()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - handed to the thread that waits
                raised.append(error)

        started = time.monotonic()
        self._thread = threading.Thread(target=run, name=self.label, daemon=True)
        self._thread.start()
        try:
            while self._thread.is_alive():
                check()
                self._thread.join(_GLANCE)
                if (waited := time.monotonic() - started) > patience and self._thread.is_alive():
                    return stalled(self.label, waited)
        finally:
            self._given_up = self._thread.is_alive()
        return raised[0] if raised else None

    @property
    def started(self) -> bool:
        """Whether the work was begun."""
        return self._thread is not None

    @property
    def ended(self) -> bool:
        """Whether the work is over, well or not, or was given up."""
        return self.started and (not self.running or self._given_up)

    @property
    def ended_since(self) -> float:
        """Seconds since the work was over or given up."""
        return time.monotonic() - self._ended_at

    @property
    def idle(self) -> float:
        """Seconds since the running work took data, or since all of them had come."""
        return time.monotonic() - self.pipe.busy_since if self.running else 0.0

    @property
    def may_hold_up(self) -> float:
        """Seconds that the others still wait for this one."""
        return max(0.0, HOLD_UP + HOLD_UP_SHARE * (time.monotonic() - self._started_at) - self.held_up)

    @property
    def running(self) -> bool:
        """Whether the thread is still at work."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def failed(self) -> bool:
        """Whether the work ended with an error of its own, not with one that came with the data."""
        return self.error is not None and not self.pipe.broken

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the end of the work, if it was begun and not given up."""
        if self._thread is not None and self._thread.ident is not None and not self._given_up:
            self._thread.join(timeout)

    def is_stuck(self, timeout: float) -> bool:
        """Say whether the work still goes on after *timeout* seconds, given up or not."""
        if self._thread is not None and self._thread.ident is not None:
            self._thread.join(timeout)
        return self.running

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


def stalled(label: str, seconds: float) -> StoreFailed:
    """Return the error of a store that does nothing any more."""
    return StoreFailed(
        f"store '{label}' has done nothing for {seconds:.0f} s",
        hint="check the store; if it needs that long, raise limits.store_patience in the site file",
    )
