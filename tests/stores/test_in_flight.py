"""Calls in flight: as many as allowed and no more, the first error kept, passing errors retried."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

from imageport.stores import in_flight
from imageport.stores.in_flight import InFlight, in_order, with_retries


class Calls:
    """Counts the calls that run at the same time; each waits until *width* of them do."""

    def __init__(self, width: int) -> None:
        self.most = self.running = 0
        self._lock = threading.Lock()
        self._all_there = threading.Barrier(width)

    def __call__(self) -> int:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self._all_there.wait()
        with self._lock:
            self.running -= 1
        return self.running


@pytest.mark.parametrize("limit", [1, 4])
def test_as_many_calls_run_at_once_as_the_limit_allows(limit: int) -> None:
    calls, flight = Calls(limit), InFlight(limit)
    for _ in range(4 * limit):
        flight.submit(calls)
    flight.drain()
    flight.close()
    assert calls.most == limit
    assert calls.running == 0


def test_a_single_call_at_a_time_needs_no_thread() -> None:
    names: list[str] = []
    InFlight(1).submit(lambda: names.append(threading.current_thread().name))
    assert names == [threading.current_thread().name]


def fail_with(error: Exception) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


@pytest.mark.parametrize("limit", [1, 3])
def test_the_first_error_is_raised_and_no_call_begins_after_it(limit: int) -> None:
    first, made = OSError("first"), []
    flight = InFlight(limit)
    with pytest.raises(OSError, match="first"):
        flight.submit(fail_with(first))
        flight.drain()
    with pytest.raises(OSError, match="first"):
        flight.submit(lambda: made.append("later"))
    with pytest.raises(OSError, match="first"):
        flight.drain()
    flight.close()
    assert made == []


def test_closing_ends_the_threads() -> None:
    before = set(threading.enumerate())
    flight = InFlight(3)
    for _ in range(6):
        flight.submit(lambda: None)
    flight.drain()
    threads = set(threading.enumerate()) - before
    flight.close()
    for thread in threads:
        thread.join()


def test_results_come_in_order_and_few_wait() -> None:
    begun: list[int] = []

    def count(number: int) -> int:
        begun.append(number)
        return number

    results = in_order([partial(count, number) for number in range(100)], 3)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(begun) <= 8
    assert list(results) == list(range(5, 100))


def test_an_error_ends_the_results() -> None:
    with pytest.raises(OSError, match="gone"):
        list(in_order([lambda: 1, fail_with(OSError("gone"))], 2))


@pytest.fixture
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "DELAYS", (0, 0, 0))


@pytest.mark.usefixtures("no_delay")
@pytest.mark.parametrize(("failures", "attempts"), [(0, 1), (3, 4), (4, 4)])
def test_passing_errors_are_retried_so_often(failures: int, attempts: int) -> None:
    made: list[int] = []

    def call() -> str:
        made.append(len(made))
        if len(made) <= failures:
            raise TimeoutError("slow")
        return "done"

    def is_passing(error: Exception) -> bool:
        return isinstance(error, TimeoutError)

    if failures < 4:
        assert with_retries(call, is_passing, threading.Event()) == "done"
    else:
        with pytest.raises(TimeoutError):
            with_retries(call, is_passing, threading.Event())
    assert len(made) == attempts


def test_other_errors_and_cancelled_imports_are_not_retried() -> None:
    cancelled, made = threading.Event(), []

    def call() -> None:
        made.append(1)
        raise TimeoutError("slow")

    with pytest.raises(TimeoutError):
        with_retries(call, lambda _: False, cancelled)
    cancelled.set()
    with pytest.raises(TimeoutError):
        with_retries(call, lambda _: True, cancelled)
    assert len(made) == 2


@pytest.mark.usefixtures("no_delay")
def test_a_silent_server_is_asked_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_flight, "SILENCE", -1)
    made: list[int] = []

    def call() -> None:
        made.append(1)
        raise TimeoutError("silent")

    with pytest.raises(TimeoutError):
        with_retries(call, lambda _: True, threading.Event())
    assert len(made) == 2
