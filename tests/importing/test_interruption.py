"""A signal ends an import wherever it arrives, also where Python discards the exception that it raises."""

from __future__ import annotations

import os
import signal
import sys
import threading
import weakref

import pytest

from imageport import Cancelled
from imageport.importing.lease_keeper import Interruption


class Thing:
    """An object with a weak reference to it."""


def _kill(_: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


class Dying:
    """An object whose destructor is interrupted."""

    def __del__(self) -> None:
        _kill(self)


def test_a_signal_during_a_callback_of_a_weak_reference_ends_the_import() -> None:
    with Interruption() as interruption, pytest.raises(Cancelled), interruption.raising():
        thing = Thing()
        reference = weakref.ref(thing, _kill)
        del thing
        threading.Event().wait(60)
        pytest.fail(f"the wait was not interrupted, {reference}")


def test_a_signal_during_a_destructor_ends_the_import() -> None:
    with Interruption() as interruption, pytest.raises(Cancelled), interruption.raising():
        dying = Dying()
        del dying
        threading.Event().wait(60)
        pytest.fail("the wait was not interrupted")


def test_another_error_that_a_signal_has_caused_is_reported_as_the_interruption() -> None:
    with Interruption() as interruption, pytest.raises(Cancelled), interruption.raising():
        try:
            _kill(None)
            threading.Event().wait(60)
        except KeyboardInterrupt:
            raise RuntimeError("cannot release a lock that is not held") from None


def test_a_second_signal_does_not_disturb_what_cleans_up_after_the_first() -> None:
    cleaned = False
    with Interruption() as interruption, pytest.raises(Cancelled), interruption.raising():
        try:
            _kill(None)
            threading.Event().wait(60)
        finally:
            _kill(None)
            threading.Event().wait(0.05)
            cleaned = True
    assert cleaned


def test_other_exceptions_that_python_discards_are_reported_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[sys.UnraisableHookArgs] = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)

    class Broken:
        def __del__(self) -> None:
            raise ValueError

    with Interruption():
        broken = Broken()
        del broken
    assert [found.exc_type for found in reported] == [ValueError]
    assert sys.unraisablehook == reported.append


def test_a_signal_that_came_before_is_not_forgotten() -> None:
    with Interruption() as interruption:
        _kill(None)
        with pytest.raises(Cancelled), interruption.raising():
            pytest.fail("the block was entered")


def test_a_signal_while_the_lock_of_the_event_is_held_sets_the_event() -> None:
    with Interruption() as interruption:
        with interruption.event._cond:  # type: ignore[attr-defined]
            _kill(None)
        assert interruption.event.is_set()
