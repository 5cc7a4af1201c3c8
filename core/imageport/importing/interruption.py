"""Ctrl-C and SIGTERM end an import cleanly."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from imageport.errors import Cancelled

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Interrupt(BaseException):
    """What a signal raises: no ``except Exception`` of a plugin or library keeps it from ending the import."""


class Interruption:
    """Sets ``event`` on a signal. While data flows it raises as well, so that a stalled read ends at once.

    A signal that is ignored (``nohup``, jobs in the background) stays ignored.
    """

    def __init__(self) -> None:
        self.event = threading.Event()
        self._raising = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if (previous := signal.getsignal(number)) != signal.SIG_IGN:
                    self._previous[number] = previous
                    signal.signal(number, self._arrived)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Let a signal raise ``Cancelled`` in this block; outside it, cleaning up is never disturbed."""
        self.check()
        self._raising = True
        try:
            yield
        except _Interrupt:
            raise self._error() from None
        finally:
            self._raising = False
        self.check()

    def check(self) -> None:
        """Raise ``Cancelled`` when a signal has come."""
        if self.event.is_set():
            raise self._error()

    def interrupt(self) -> None:
        """Do as if a signal had come; for other threads."""
        self.event.set()
        if self._previous:
            # Only a real signal ends a read that stalls in the main thread.
            signal.pthread_kill(threading.main_thread().ident or 0, next(iter(self._previous)))

    def _arrived(self, _number: int, _frame: FrameType | None) -> None:
        self.event.set()
        if self._raising:
            # Once: what cleans up after this must not be disturbed by a second signal.
            self._raising = False
            raise _Interrupt

    @staticmethod
    def _error() -> Cancelled:
        return Cancelled("the import was interrupted", hint="import the image again to start over")
