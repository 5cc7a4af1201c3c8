"""End an import early: on a signal, a cancellation, a lost lease or the deadline; keep the lease until then."""

from __future__ import annotations

import logging
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from imageport.catalog import Lease
from imageport.errors import Cancelled, ImageportError, LimitExceeded, LockLost

log = logging.getLogger(__name__)

#: Seconds after which an import that shows no sign of life may be taken over, and between two signs.
LEASE_SECONDS = 60.0
RENEW_EVERY = 5.0

#: Seconds between two attempts to raise an exception that Python has discarded.
_MOMENT = 0.01

#: Seconds that the end of an import may take after a signal.
_AFTER_SIGNAL = 1.5

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Interrupt(KeyboardInterrupt):
    """The exception of a signal: no ``except Exception`` of a plugin or library keeps it from ending the import."""


def _signal_event() -> threading.Event:
    """Return an event that the handler of a signal may set in the thread that waits for it just then.

    The lock of a usual event cannot be taken twice by one thread: the handler would wait for ever.
    """
    event = threading.Event()
    vars(event)["_cond"] = threading.Condition(threading.RLock())
    return event


class Interruption:
    """Sets ``event`` on a signal. While data flows it raises as well, so that a stalled read ends at once.

    A signal that is ignored (``nohup``, jobs in the background) stays ignored. Where the exception is raised in a
    destructor or a callback of the garbage collector, Python discards it, so it is raised again a moment later.
    """

    def __init__(self) -> None:
        self.event = _signal_event()
        self._raising = False
        #: When the import has to be over, after a signal (seconds of the monotonic clock).
        self._end = math.inf
        self._previous: dict[int, Any] = {}
        self._sending = threading.RLock()
        self._unraisable = sys.unraisablehook
        self._insisting: threading.Thread | None = None
        self._left = threading.Event()

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if (previous := signal.getsignal(number)) != signal.SIG_IGN:
                    self._previous[number] = previous
                    signal.signal(number, self._arrived)
        if self._previous:
            self._unraisable, sys.unraisablehook = sys.unraisablehook, self._discarded
        return self

    def __exit__(self, *_: object) -> None:
        if self._insisting is not None:
            self._insisting.join()
        if self._previous:
            sys.unraisablehook = self._unraisable
        # Once the handlers are gone, a signal from another thread would end the process.
        with self._sending:
            for number, handler in self._previous.items():
                signal.signal(number, handler)
            self._previous.clear()

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Let a signal raise ``Cancelled`` in this block; outside it, cleaning up is never disturbed."""
        try:
            self._left.clear()
            self._raising = True
            # After the line above: a signal that comes between the two is not lost.
            self.require_running()
            yield
        except _Interrupt:
            raise interrupted() from None
        except Exception as error:
            # The exception of a signal may break what it interrupts, which then raises another one.
            if self.event.is_set() and not isinstance(error, Cancelled):
                raise interrupted() from error
            raise
        finally:
            self._raising = False
            self._left.set()
        self.require_running()

    def countdown(self, seconds: float) -> Callable[[], float]:
        """Return a function that returns how many of *seconds* are left, of which a signal leaves only a few."""
        give_up = time.monotonic() + seconds
        return lambda: min(give_up, self._end) - time.monotonic()

    def require_running(self) -> None:
        """Raise ``Cancelled`` when a signal has come."""
        if self.event.is_set():
            raise interrupted()

    def interrupt(self) -> None:
        """Do as if a signal had come; for other threads."""
        self._note()
        with self._sending:
            if self._previous:
                # Only a real signal ends a read that stalls in the main thread.
                signal.pthread_kill(threading.main_thread().ident or 0, next(iter(self._previous)))

    def _note(self) -> None:
        self._end = min(self._end, time.monotonic() + _AFTER_SIGNAL)
        self.event.set()

    def _arrived(self, _number: int, _frame: FrameType | None) -> None:
        self._note()
        if self._raising:
            # Once: a second signal must not disturb the clean-up.
            self._raising = False
            raise _Interrupt

    def _discarded(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Take an exception that Python cannot raise where it happened."""
        if unraisable.exc_type is not _Interrupt:
            self._unraisable(unraisable)
            return
        if self._insisting is None:
            self._insisting = threading.Thread(target=self._insist, name="interruption", daemon=True)
            self._insisting.start()
        self._raising = True

    def _insist(self) -> None:
        """Send the signal again until the block is left; once it has raised, it does not disturb the cleaning up."""
        while not self._left.wait(_MOMENT):
            self.interrupt()


def interrupted() -> Cancelled:
    """Return the error of an import that a signal ends."""
    return Cancelled("the import was interrupted", hint="import the image again to start over")


class LeaseKeeper:
    """Renews a lease in a separate thread until it is stopped; interrupts the import that has to end.

    It has to when it is cancelled, when it has lost its lease, and *deadline* seconds after this was made.
    """

    def __init__(
        self,
        lease: Lease,
        interruption: Interruption,
        progress: dict[str, Any],
        *,
        deadline: float | None = None,
    ) -> None:
        self._lease = lease
        self._interruption = interruption
        self._progress = progress
        self._seconds = deadline
        self._deadline = math.inf if deadline is None else time.monotonic() + deadline
        self._over = threading.Event()
        #: Why the import has to end, once it has.
        self.reason: ImageportError | None = None
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Renew no more: the import is about to give its lease back."""
        self._over.set()
        self._thread.join()

    def require_running(self) -> None:
        """Raise ``Cancelled``, ``LockLost`` or ``LimitExceeded`` when the import has to end, also after a signal."""
        if self.reason is not None:
            raise self.reason
        self._interruption.require_running()

    def _run(self) -> None:
        # Goes on after a cancellation: rolling back needs the lease as well.
        while not isinstance(self.reason, LockLost) and not self._over.wait(self._pause()):
            if self.reason is None and time.monotonic() >= self._deadline:
                self.reason = LimitExceeded(
                    f"the import was not complete after {self._seconds:g} s",
                    hint="use a faster source or store, or raise limits.import_deadline in the site file",
                )
            self._renew()
            if self.reason is not None:
                self._interruption.event.set()

    def _pause(self) -> float:
        left = self._deadline - time.monotonic() if self.reason is None else RENEW_EVERY
        return min(RENEW_EVERY, max(0.0, left))

    def _renew(self) -> None:
        try:
            cancel = self._lease.renew(dict(self._progress))
        except LockLost as error:
            self.reason = error
        except Exception:  # a catalog that is away for a moment must not end an import; the fence protects
            log.warning("could not renew the lease of task %s", self._lease.task_id, exc_info=True)
        else:
            if cancel and self.reason is None:
                self.reason = Cancelled(
                    f"task {self._lease.task_id} was cancelled", hint="run the import again to start over"
                )
