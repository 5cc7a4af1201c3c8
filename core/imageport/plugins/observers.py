"""Observers get events, each in a separate thread; no observer can stop or delay an import."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Sequence
from queue import SimpleQueue

from imageport.events import Event, ProgressEvent
from imageport.plugins.binding import BoundStep, StepContexts

log = logging.getLogger(__name__)

#: An observer that failed this often is not called again.
MAX_FAILURES = 3

#: Events that may wait for one observer before it misses news of progress.
BACKLOG = 100

#: Seconds that the end of an import waits for all observers together.
PATIENCE = 10.0

#: Seconds between two progress events of one lane.
PROGRESS_INTERVAL = 0.2


class Observers:
    """The observers of one import. Events may come from any thread; each observer gets them in one order."""

    def __init__(self, steps: Sequence[BoundStep], *, patience: float = PATIENCE) -> None:
        self._listeners = [_Listener(step) for step in steps if "on_progress" in step.answers]
        self._patience = patience
        self._shown: dict[str, ProgressEvent] = {}
        self._closed = False
        self._one_order = threading.Lock()

    def emit(self, event: Event, ctx: StepContexts) -> None:
        """Pass *event* to all observers, without waiting for any."""
        with self._one_order:
            if self._closed or (isinstance(event, ProgressEvent) and self._too_soon(event)):
                return
            for listener in self._listeners:
                listener.send(event, ctx)

    def close(self, *, most: float = math.inf) -> None:
        """Wait until all observers have got all events, but no longer than patience and *most* seconds.

        The log names those that are left behind.
        """
        with self._one_order:
            self._closed = True
            for listener in self._listeners:
                listener.end()
        deadline = time.monotonic() + min(self._patience, most)
        for listener in self._listeners:
            listener.wait(deadline)

    def _too_soon(self, event: ProgressEvent) -> bool:
        shown = self._shown.get(event.lane)
        has_ended = event.done == event.total and (shown is None or shown.done != event.done)
        if shown is not None and not has_ended and event.at - shown.at < PROGRESS_INTERVAL:
            return True
        self._shown[event.lane] = event
        return False


class _Listener:
    """One observer, the events that wait for it, and the thread in which it gets them."""

    def __init__(self, step: BoundStep) -> None:
        self._step = step
        self._waiting: SimpleQueue[tuple[Event, StepContexts] | None] = SimpleQueue()
        # A daemon: an observer that never returns must not keep the process from ending.
        self._thread = threading.Thread(target=self._listen, name=f"observer {step.label}", daemon=True)
        self._failures = 0
        self._muted = False

    def send(self, event: Event, ctx: StepContexts) -> None:
        """Let *event* wait for the observer, unless that is one of too many about progress."""
        if self._muted or (event.kind == "progress" and self._waiting.qsize() >= BACKLOG):
            return
        if self._thread.ident is None:
            self._thread.start()
        self._waiting.put((event, ctx))

    def end(self) -> None:
        """End the events."""
        self._waiting.put(None)

    def wait(self, deadline: float) -> None:
        """Wait until the observer has got all events; at *deadline* (monotonic seconds) leave it behind."""
        if self._thread.ident is None:
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._muted = True
            log.warning(
                "observer '%s' (%s) is too slow: the import has ended, and it has not heard of everything",
                self._step.label, self._step.distribution,
            )  # fmt: skip

    def _listen(self) -> None:
        while (item := self._waiting.get()) is not None and not self._muted:
            event, ctx = item
            try:
                self._step.on_progress(event, ctx)
            except BaseException as error:  # noqa: BLE001 - the import goes on
                self._failed(event, error)

    def _failed(self, event: Event, error: BaseException) -> None:
        self._failures += 1
        is_last = self._failures == MAX_FAILURES
        self._muted = self._muted or is_last
        log.warning(
            "observer '%s' (%s) failed on %s: %s: %s%s",
            self._step.label, self._step.distribution, event.kind, type(error).__name__, error,
            "; it is not called again" if is_last else "",
        )  # fmt: skip
