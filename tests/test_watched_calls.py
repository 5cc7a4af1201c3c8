"""Calls into plugins end at their deadlines, and what was left behind changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from imageport import Cancelled
from imageport.watched_calls import (
    Call,
    CallWatch,
    Done,
    LeftBehind,
    current_watch,
    side_by_side,
    supervised,
    within,
)

SOON = 0.1
NEVER = 3600.0


class TooLate(Exception):
    """The error of a call that is overdue."""


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Return an event that is set at the end of the test, so that no thread stays."""
    event = threading.Event()
    yield event
    event.set()


def _call(seconds: float = NEVER) -> Call:
    return Call(seconds, TooLate)


def test_a_call_returns_its_result_and_raises_its_error() -> None:
    assert within(_call(), lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        within(_call(), lambda: 1 / 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_errors_that_are_not_exceptions_are_passed_on(error: type[BaseException]) -> None:
    def action() -> None:
        raise error

    with pytest.raises(error):
        within(_call(), action)


def test_an_overdue_call_is_left_behind_and_what_it_does_later_is_fenced_off(gate: threading.Event) -> None:
    ended = threading.Event()
    changed = []

    def action() -> None:
        try:
            within(_call(SOON), gate.wait)
            changed.append("by a call that was left behind")
        except LeftBehind:
            ended.set()
            raise

    with pytest.raises(TooLate):
        supervised(action)
    gate.set()
    assert ended.wait(60)
    assert changed == []


def test_a_call_has_only_its_own_time(gate: threading.Event) -> None:
    def inner() -> bool:
        return within(_call(), lambda: gate.wait(5 * SOON))

    assert within(_call(4 * SOON), inner) is False


def test_the_innermost_call_that_is_overdue_is_named(gate: threading.Event) -> None:
    class Inner(Exception):
        pass

    def inner() -> None:
        within(Call(SOON, Inner), gate.wait)

    with pytest.raises(Inner):
        within(_call(SOON), inner)


def test_an_error_of_the_check_ends_the_wait(gate: threading.Event) -> None:
    def check() -> None:
        raise Cancelled("the import was interrupted")

    with pytest.raises(Cancelled):
        supervised(gate.wait, check=check)


def test_after_an_error_of_the_check_the_call_may_end_by_itself() -> None:
    stop, cleaned = threading.Event(), threading.Event()

    def check() -> None:
        stop.set()
        raise Cancelled("the import was interrupted")

    def action() -> None:
        stop.wait()
        cleaned.set()

    with pytest.raises(Cancelled):
        supervised(action, check=check)
    assert cleaned.is_set()


def test_an_error_that_an_interruption_has_caused_is_reported_as_the_interruption() -> None:
    def check() -> None:
        raise Cancelled("the import was interrupted")

    def action() -> None:
        raise RuntimeError("lost in the middle")

    with pytest.raises(Cancelled):
        supervised(action, check=check)


def test_no_call_begins_in_work_that_was_left(gate: threading.Event) -> None:
    watch = CallWatch()
    watch.leave()
    with pytest.raises(LeftBehind), watch.during(_call()):
        pytest.fail("the call has begun")


def test_only_threads_of_calls_are_watched() -> None:
    assert current_watch() is None
    assert supervised(current_watch) is not None


def _ends(results: Iterator[Done[str, Any]]) -> dict[str, type[BaseException] | None]:
    return {done.item: type(done.error) if done.error else None for done in results}


def _late_error(_key: str) -> BaseException:
    return TooLate()


def test_a_stuck_item_holds_up_only_those_of_its_key(gate: threading.Event) -> None:
    begun = []

    def action(item: str) -> None:
        begun.append(item)
        if item == "b1":
            within(_call(SOON), gate.wait)
        if item == "a1":
            raise ZeroDivisionError

    work = {"a": ["a1", "a2"], "b": ["b0", "b1", "b2"], "c": []}
    assert _ends(side_by_side(work, action, late_error=_late_error)) == {
        "a1": ZeroDivisionError, "a2": None, "b0": None, "b1": TooLate, "b2": TooLate,
    }  # fmt: skip
    gate.set()
    assert "b2" not in begun


def test_when_no_second_is_left_all_that_is_unfinished_is_left_behind(gate: threading.Event) -> None:
    work = {name: [name + "1", name + "2"] for name in "abc"}
    began = time.monotonic()

    def action(item: str) -> None:
        if not item.startswith("a"):
            gate.wait()

    def left() -> float:
        return SOON + began - time.monotonic()

    assert _ends(side_by_side(work, action, late_error=_late_error, seconds_left=left)) == {
        "a1": None, "a2": None, "b1": TooLate, "b2": TooLate, "c1": TooLate, "c2": TooLate,
    }  # fmt: skip


def test_a_key_that_fails_again_and_again_is_left_behind_and_one_that_also_succeeds_is_not() -> None:
    def action(item: str) -> None:
        threading.Event().wait(SOON)
        if item[0] == "a" or int(item[1:]) % 2:
            raise ZeroDivisionError

    work = {key: [f"{key}{number}" for number in range(1, 41)] for key in "ab"}
    ends = _ends(side_by_side(work, action, late_error=_late_error, patience=10 * SOON))
    assert {end for item, end in ends.items() if item[0] == "b"} == {None, ZeroDivisionError}
    assert (ends["a1"], ends["a40"]) == (ZeroDivisionError, TooLate)


@pytest.mark.parametrize("error", [LeftBehind, KeyboardInterrupt, SystemExit])
def test_whatever_an_item_raises_is_its_error(error: type[BaseException]) -> None:
    def action(item: str) -> None:
        if item == "a1":
            raise error

    assert _ends(side_by_side({"a": ["a1", "a2"]}, action, late_error=_late_error)) == {
        "a1": error,
        "a2": None,
    }


def test_a_reader_that_stops_leaves_the_rest_behind(gate: threading.Event) -> None:
    done = []
    reached = threading.Event()

    def action(item: str) -> None:
        if item == "a2":
            reached.set()
            gate.wait()
        done.append(item)

    results = side_by_side({"a": ["a1", "a2", "a3"]}, action, late_error=_late_error)
    assert next(results).item == "a1"
    assert reached.wait(60)
    results.close()  # type: ignore[attr-defined]
    gate.set()
    assert "a3" not in done
