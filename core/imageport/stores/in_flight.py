"""Calls to a slow server, several at a time: the first error is kept, and passing ones are retried."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds to wait before another attempt at a call that failed in passing.
DELAYS = (0.2, 1.0, 3.0)

#: Seconds after which a call that fails has found a silent server.
SILENCE = 4.0


class InFlight:
    """At most *limit* calls at the same time; with a limit of 1, each call is made by the caller itself.

    The threads are daemons: a call that never returns does not hold up the end of the process.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._room = threading.Semaphore(limit)
        self._calls: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self._threads = 0
        self._error: BaseException | None = None

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Begin *call* as soon as there is room for it. Raises the first error of the calls before."""
        future: Future[T] = Future()
        self._room.acquire()
        if self._error is not None:
            self._room.release()
            raise self._error
        if self._limit == 1:
            self._run(call, future)
            self._raise_first()
            return future
        if self._threads < self._limit:
            self._threads += 1
            threading.Thread(target=self._work, name="in-flight", daemon=True).start()
        self._calls.put((call, future))
        return future

    def drain(self) -> None:
        """Wait until no call is running. Raises the first error of all calls."""
        self._wait()
        self._raise_first()

    def close(self) -> None:
        """Wait until no call is running, and end the threads; calls that have not begun are not made."""
        self._error = self._error or RuntimeError("closed")
        self._wait()
        for _ in range(self._threads):
            self._calls.put(None)
        self._threads = 0

    def _wait(self) -> None:
        for _ in range(self._limit):
            self._room.acquire()
        self._room.release(self._limit)

    def _raise_first(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (item := self._calls.get()) is not None:
            self._run(*item)
            del item

    def _run(self, call: Callable[[], T], future: Future[T]) -> None:
        try:
            if self._error is not None:
                future.cancel()
            else:
                future.set_result(call())
        except BaseException as error:  # noqa: BLE001 - raised in the thread that submits, drains or asks the future
            self._error = self._error or error
            future.set_exception(error)
        finally:
            self._room.release()


def in_order(calls: Iterable[Callable[[], T]], limit: int) -> Iterator[T]:
    """Yield the result of each call in turn, while the next ones are made; at most *limit* results wait."""
    flight = InFlight(limit)
    waiting: deque[Future[T]] = deque()
    try:
        for call in calls:
            waiting.append(flight.submit(call))
            if len(waiting) == limit:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        flight.close()


def with_retries(
    call: Callable[[], T], is_passing: Callable[[Exception], bool], cancelled: threading.Event
) -> T:
    """Return the result of *call*, which is made again after an error that *is_passing*, unless *cancelled*.

    A server that was silent for long is asked once more, and not as often as one that answers.
    """
    silences = 0
    for delay in DELAYS:
        begin = time.monotonic()
        try:
            return call()
        except Exception as error:
            silences += time.monotonic() - begin > SILENCE
            if silences > 1 or not is_passing(error) or cancelled.wait(delay):
                raise
    return call()
