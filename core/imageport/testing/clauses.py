"""The words of suites: what a clause requires, what it could not try, and how long it waits for a plugin.

A test of a suite is one clause of the contract: its name is the clause, and its docstring the advice for a plugin that
breaks it. ``imageport plugins certify`` prints both, and the reason, which is the message of ``require``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

import pytest

from imageport.errors import ImageportError, StepCrashed

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
E = TypeVar("E", bound=ImageportError)

#: Seconds that a hook may take with the small images of the suites.
PATIENCE = 30.0

#: The attribute of a test of a declared capability, with the name of the capability.
CAPABILITY = "imageport_capability"


class BrokenClause(AssertionError):
    """The plugin does not keep a clause; the message is the reason, in plain words."""


class Unresponsive(BrokenClause):
    """A hook did not return in time; its thread is left alone."""


def require(holds: object, otherwise: str) -> None:
    """Raise ``BrokenClause`` with the reason *otherwise* unless *holds* is true."""
    if not holds:
        raise BrokenClause(otherwise)


def not_tried(reason: str) -> NoReturn:
    """End the test: the clause cannot be tried, for *reason*."""
    pytest.skip(reason)


def capability(name: str) -> Callable[[F], F]:
    """Mark the test of the declared capability *name*."""

    def mark(test: F) -> F:
        setattr(test, CAPABILITY, name)
        return test

    return mark


def within(seconds: float, call: str, function: Callable[[], T]) -> T:
    """Return the result of *function*, called in a thread that is left alone if it takes longer than *seconds*.

    Raises its errors, ``Unresponsive`` for one that does not return, and ``BrokenClause`` for one that tries to end the
    process. *call* is what the function stands for in messages.
    """
    answers: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    thread = threading.Thread(target=run, name=f"suite: {call}", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise Unresponsive(f"{call} did not return within {seconds:g} s")
    for error in errors:
        # No signal reaches this thread: only the plugin can have raised these.
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise BrokenClause(f"{call} raised {type(error).__name__}, which ends processes") from error
        raise error
    return answers[0]


def refused(kind: type[E], call: str, function: Callable[[], object]) -> E:
    """Return the error of *kind*, with a hint, that *function* raises. Raises ``BrokenClause`` for everything else."""
    try:
        function()
    except kind as error:
        if not isinstance(error, StepCrashed):
            require(error.message, f"{call} raised {type(error).__name__} without a message")
            return error
        raise
    except ImageportError as error:
        raise BrokenClause(
            f"{call} raised {type(error).__name__} where {kind.__name__} is expected: {error}"
        ) from error
    raise BrokenClause(f"{call} succeeded where {kind.__name__} is expected")
