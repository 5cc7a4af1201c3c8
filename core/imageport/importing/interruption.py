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


class Interruption:
    """Sets ``event`` on a signal. While data flows it raises as well, so that a stalled read ends at once."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self._raising = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._arrived) for number in SIGNALS}
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
        finally:
            self._raising = False
        self.check()

    def check(self) -> None:
        """Raise ``Cancelled`` when a signal has come."""
        if self.event.is_set():
            raise self._error()

    def _arrived(self, _number: int, _frame: FrameType | None) -> None:
        first = not self.event.is_set()
        self.event.set()
        if self._raising and first:
            raise self._error()

    @staticmethod
    def _error() -> Cancelled:
        return Cancelled("the import was interrupted", hint="run the same command again to start over")
