"""Calls that are left behind when their time is over.

Nothing can interrupt a library that waits for a server. So a call into a plugin runs in a separate thread, which is
left behind at its deadline: the caller goes on, and the thread ends with ``LeftBehind`` as soon as the call returns,
before it changes anything.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, Generic, TypeVar

T = TypeVar("T")
KeyT = TypeVar("KeyT")
ResultT = TypeVar("ResultT")

#: Seconds between two looks at a call that goes on.
_GLANCE: Final = 0.05

#: Seconds that a call has to end by itself after its import was interrupted.
_GRACE: Final = 0.4


class LeftBehind(BaseException):
    """Ends a thread that was left behind: its results are not wanted any more."""


@dataclass(eq=False, slots=True)
class Call:
    """One call into a plugin, which may take *seconds*, without those of the calls that it makes in turn.

    *error* makes the error of one that takes longer.
    """

    seconds: float
    error: Callable[[], BaseException]
    _spent: float = 0.0
    _since: float | None = None

    def resume(self) -> None:
        """Let the clock go on."""
        self._since = time.monotonic()

    def pause(self) -> None:
        """Stop the clock."""
        if self._since is not None:
            self._spent += time.monotonic() - self._since
            self._since = None

    @property
    def overdue(self) -> bool:
        """Whether it takes longer than it may."""
        running = 0.0 if self._since is None else time.monotonic() - self._since
        return self._spent + running > self.seconds


class CallWatch:
    """The calls that go on in one piece of work, the innermost last: only the clock of that one runs."""

    def __init__(self) -> None:
        self._calls: list[Call] = []
        self._left = False
        self._changing = threading.Lock()

    @contextmanager
    def during(self, call: Call) -> Iterator[None]:
        """Count *call* while the block runs. Raises ``LeftBehind`` before and after it once the work was left."""
        with self._changing:
            self.require_wanted()
            if self._calls:
                self._calls[-1].pause()
            self._calls.append(call)
            call.resume()
        try:
            yield
        finally:
            with self._changing:
                self.require_wanted()
                self._calls.remove(call)
                if self._calls:
                    self._calls[-1].resume()

    def require_wanted(self) -> None:
        """Raise ``LeftBehind`` once the work was left."""
        if self._left:
            raise LeftBehind

    def leave(self) -> None:
        """Leave the work behind: nothing that it brings is wanted from now on."""
        with self._changing:
            self._left = True

    def overdue(self) -> Call | None:
        """Return the call that takes longer than it may, if there is one."""
        with self._changing:
            return next((call for call in reversed(self._calls) if call.overdue), None)


class _Here(threading.local):
    """The watch over this thread, if there is one."""

    watch: CallWatch | None = None


_HERE = _Here()


def current_watch() -> CallWatch | None:
    """Return the watch over the work of this thread; None in a thread that nothing leaves behind."""
    return _HERE.watch


def _go_on() -> None:
    pass


def within(call: Call, action: Callable[[], T], *, check: Callable[[], None] = _go_on) -> T:
    """Return the result of *action*, which is one *call* into a plugin; raise its error at its deadline.

    In a thread that is watched already, the watcher there leaves the whole thread behind. Otherwise *action* runs in
    a separate thread, as in ``supervised``.
    """
    watch = current_watch()
    if watch is not None:
        with watch.during(call):
            return action()
    return supervised(lambda: within(call, action), check=check)


def supervised(action: Callable[[], T], *, check: Callable[[], None] = _go_on) -> T:
    """Return the result of *action*, run in a separate thread, which is left behind when a call in it is overdue.

    *check* is called while waiting, and once more when *action* has failed. Its error is raised here: a moment later,
    in which *action* may end by itself.
    """
    work = _Work(action)
    work.start()
    try:
        work.wait(check)
    finally:
        # After its end there is nothing to leave.
        work.watch.leave()
    # An error and the frames in its traceback refer to each other.
    error, work.error = work.error, None
    if error is None:
        return work.result  # type: ignore[return-value]
    try:
        check()
        raise error
    finally:
        del error


class _Work(Generic[T]):
    """A piece of work in a separate thread, and its watch."""

    def __init__(self, action: Callable[[], T]) -> None:
        self.watch = CallWatch()
        self.result: T | None = None
        self.error: BaseException | None = None
        self._action = action
        self._done = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name="imageport call", daemon=True).start()

    def _run(self) -> None:
        _HERE.watch = self.watch
        try:
            self.result = self._action()
        except BaseException as error:  # noqa: BLE001 - passed to the thread that waits
            self.error = error
        finally:
            self._done.set()
            del self._action

    def wait(self, check: Callable[[], None]) -> None:
        """Wait for the end. Raises the error of an overdue call, and that of *check*."""
        while not self._done.wait(_GLANCE):
            if (call := self.watch.overdue()) is not None:
                raise call.error()
            try:
                check()
            except Exception:
                self._done.wait(_GRACE)
                raise


@dataclass(frozen=True, slots=True)
class Done(Generic[T, ResultT]):
    """One *item* of the work of ``side_by_side``, with the *result* of its action unless there was an *error*."""

    item: T
    result: ResultT | None = None
    error: BaseException | None = None


def side_by_side(
    work: Mapping[KeyT, Sequence[T]],
    action: Callable[[T], ResultT],
    *,
    late_error: Callable[[KeyT], BaseException],
    seconds_left: Callable[[], float] = lambda: math.inf,
    patience: float = math.inf,
) -> Iterator[Done[T, ResultT]]:
    """Do *action* with each item, those of one key in their order and the keys at the same time, in separate threads.

    Yields each item when it is done or has failed. When a call for one of a key is overdue, none of them has succeeded
    for *patience* seconds, or no second is left, the unfinished items of that key are left behind: all of them are
    yielded with the error *late_error*.
    """
    lines = {key: _Line(items, action) for key, items in work.items() if items}
    try:
        for line in lines.values():
            line.start()
        while lines:
            for key, line in list(lines.items()):
                yield from line.news(_GLANCE / len(lines))
                if line.waiting and (seconds_left() <= 0 or line.is_overdue(patience)):
                    yield from (Done(item, error=late_error(key)) for item in line.leave())
                if not line.waiting:
                    del lines[key]
    finally:
        for line in lines.values():
            line.watch.leave()


class _Line(Generic[T, ResultT]):
    """Items that are dealt with one after the other in a separate thread; ``waiting`` are those without news."""

    def __init__(self, items: Sequence[T], action: Callable[[T], ResultT]) -> None:
        self.watch = CallWatch()
        self.waiting = list(items)
        self._items = tuple(items)
        self._action = action
        self._done: SimpleQueue[Done[T, ResultT]] = SimpleQueue()
        self._succeeded = time.monotonic()

    def start(self) -> None:
        threading.Thread(target=self._run, name="imageport clean-up", daemon=True).start()

    def news(self, timeout: float) -> Iterator[Done[T, ResultT]]:
        """Yield the items that are done by now, after waiting for one for at most *timeout* seconds."""
        with suppress(Empty):
            while self.waiting:
                done = self._done.get(timeout=timeout)
                self.waiting.pop(0)
                timeout = 0.0
                if done.error is None:
                    self._succeeded = time.monotonic()
                yield done

    def is_overdue(self, patience: float) -> bool:
        """Return whether a call takes longer than it may, or *patience* seconds went by without a success."""
        return self.watch.overdue() is not None or time.monotonic() - self._succeeded > patience

    def leave(self) -> Sequence[T]:
        """Leave the thread behind, and return the items that are not done."""
        self.watch.leave()
        left, self.waiting = self.waiting, []
        return left

    def _run(self) -> None:
        _HERE.watch = self.watch
        for item in self._items:
            try:
                self.watch.require_wanted()
                done = Done(item, self._action(item))
            except BaseException as error:  # noqa: BLE001 - passed to the thread that waits
                done = Done(item, error=error)
            self._done.put(done)
