"""The copy of an image in one store, and its state."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final

from imageport.dataplane.buffers import Chunks
from imageport.dataplane.fanout import Consumer, stalled
from imageport.importing.report import StoreReport
from imageport.plugins.binding import BoundStep
from imageport.values import PendingCopy
from imageport.watched_calls import LeftBehind

log = logging.getLogger(__name__)


class CopyState(StrEnum):
    """The states of a copy. The last two are final, and so is ``discarded`` unless its bytes turn out to be there."""

    WAITING = "waiting"
    #: The store takes the bytes.
    WRITING = "writing"
    #: The store has all bytes, and the copy is hidden.
    WRITTEN = "written"
    #: The store makes the copy visible. From here on the row in the catalog decides which bytes are removed.
    PUBLISHING = "publishing"
    #: The catalog lists the copy as a location of the image.
    PUBLISHED = "published"
    #: The copy was taken back, or its data broke off; the store is not at fault.
    DISCARDED = "discarded"
    #: The store is at fault.
    FAILED = "failed"
    #: The store was left behind at work, or could not remove the copy: its row stays for ``gc``. A late result of the
    #: store is discarded.
    ABANDONED = "abandoned"


_S = CopyState

#: The states that may follow each state.
MOVES: Final[Mapping[CopyState, frozenset[CopyState]]] = {
    _S.WAITING: frozenset({_S.WRITING, _S.FAILED, _S.DISCARDED}),
    _S.WRITING: frozenset({_S.WRITTEN, _S.FAILED, _S.DISCARDED, _S.ABANDONED}),
    _S.WRITTEN: frozenset({_S.PUBLISHING, _S.FAILED, _S.DISCARDED, _S.ABANDONED}),
    _S.PUBLISHING: frozenset({_S.PUBLISHED, _S.FAILED, _S.DISCARDED, _S.ABANDONED}),
    _S.PUBLISHED: frozenset({_S.DISCARDED}),
    _S.DISCARDED: frozenset({_S.ABANDONED}),
    _S.FAILED: frozenset(),
    _S.ABANDONED: frozenset(),
}


class IllegalMove(RuntimeError):
    """A copy was to get a state that cannot follow its state: a defect of Imageport."""


class Copy(Consumer[PendingCopy]):
    """The copy of an image in one store: its state, and the thread in which the store works.

    ``error`` is the fault of the store where the copy has ``failed``, also when it was abandoned.
    """

    def __init__(self, label: str, work: Callable[[Chunks], PendingCopy], *, optional: bool = False) -> None:
        super().__init__(label, work, optional=optional)
        self.state = CopyState.WAITING
        self._moving = threading.Lock()

    def move(self, state: CopyState) -> None:
        """Give the copy another state. Raises ``IllegalMove``."""
        with self._moving:
            self._move(state)

    def _move(self, state: CopyState) -> None:
        if state not in MOVES[self.state]:
            raise IllegalMove(f"the copy in store '{self.label}' is {self.state} and cannot become {state}")
        self.state = state

    def start(self) -> None:
        """Start writing."""
        self.move(CopyState.WRITING)
        super().start()

    def _returned(self, result: PendingCopy) -> None:
        with self._moving:
            in_time = self.state is not CopyState.ABANDONED
            if in_time:
                self._result = result
                self._move(CopyState.WRITTEN)
        if not in_time:
            self.on_late_result(result)

    def _raised(self, error: BaseException) -> None:
        with self._moving:
            if self.state is not CopyState.ABANDONED:
                self.error = error
                self._move(CopyState.DISCARDED if self.channel.broken else CopyState.FAILED)

    def on_late_result(self, result: PendingCopy) -> None:
        """Discard a result that the store has delivered after it was abandoned."""
        discard(self.label, result)

    def abandon(self, error: BaseException | None = None) -> None:
        """Leave a store behind that is still writing; *error* is its fault, if it has any."""
        with self._moving:
            if self.state is CopyState.WRITING:
                self.error = error
                self.ended_at = time.monotonic()
                self._move(CopyState.ABANDONED)
        self.channel.abandon()

    def ask_to_discard(self) -> None:
        """Let the store discard the copy that it has written."""
        discard(self.label, self.pending)

    def give_up(self, error: BaseException | None = None, *, is_stuck: bool = False) -> None:
        """End a copy that has not ended; with *error* its store has failed. If *is_stuck* it is left behind."""
        if self.state is CopyState.WRITING:
            self.abandon(error)
        if self.state is CopyState.ABANDONED and self.error is None:
            self.error = error
        if self.state in (CopyState.WAITING, CopyState.WRITTEN, CopyState.PUBLISHING):
            self.error = error
            if is_stuck or (self.state is CopyState.PUBLISHING and self.running):
                self.move(CopyState.ABANDONED)
            else:
                self.move(CopyState.DISCARDED if error is None else CopyState.FAILED)

    def begin_publishing(self) -> None:
        """Let the store make the copy visible."""
        self.move(CopyState.PUBLISHING)
        self._thread = _Finishing(self.pending.publish, self.label)
        self._thread.start()

    def look_at_publishing(self, patience: float) -> None:
        """Fail a copy that could not be published, and abandon one whose store is stuck for *patience* seconds."""
        thread = self._thread
        if self.state is not CopyState.PUBLISHING or not isinstance(thread, _Finishing):
            return
        if thread.is_alive():
            if thread.seconds > patience:
                self.error = stalled(self.label, thread.seconds)
                self.move(CopyState.ABANDONED)
            return
        thread.seen = True
        if thread.error is not None:
            self.error = thread.error
            self.move(CopyState.FAILED)

    @property
    def publishing_for(self) -> float | None:
        """Seconds for which the store has been publishing; None once ``look_at_publishing`` has seen its end."""
        thread = self._thread
        if self.state is CopyState.PUBLISHING and isinstance(thread, _Finishing) and not thread.seen:
            return thread.seconds
        return None

    @property
    def pending(self) -> PendingCopy:
        """The answer of the store. Raises ``IllegalMove`` before that."""
        if self._result is None:
            raise IllegalMove(f"the copy in store '{self.label}' is {self.state} and was not written")
        return self._result

    @property
    def abandoned(self) -> bool:
        """True when the store was left behind at work."""
        return self.state is CopyState.ABANDONED

    @property
    def failed(self) -> bool:
        """True when the store is at fault that there is no copy."""
        return self.error is not None and self.state in (CopyState.FAILED, CopyState.ABANDONED)

    @property
    def ended(self) -> bool:
        """True when the writing is over, well or not, or was abandoned."""
        return self.state not in (CopyState.WAITING, CopyState.WRITING)

    def report(self) -> StoreReport:
        """Return the result of this copy, for people and programs."""
        report = StoreReport(
            status="discarded", bytes_written=self.channel.taken, seconds=round(self.seconds, 3)
        )
        if self.failed:
            report.status, report.error = "failed", str(self.error)
        elif self.state is CopyState.ABANDONED:
            report.status = "abandoned"
        elif self.state is CopyState.PUBLISHED:
            report.status, report.location = "published", self.pending.location.url
        return report


def new_copy(store: BoundStep, write: Callable[..., PendingCopy], *, optional: bool) -> Copy:
    """Return the copy in *store*, which *write*, ``write_copy`` with its first arguments, is to write."""

    def work(chunks: Chunks) -> PendingCopy:
        return write(store, chunks, is_wanted=lambda: copy.state is CopyState.WRITING)

    copy = Copy(store.label, work, optional=optional)
    return copy


class _Finishing(threading.Thread):
    """The thread in which a store publishes its copy, the *error* of it, and whether its end was *seen*."""

    def __init__(self, action: Callable[[], None], label: str) -> None:
        super().__init__(name=label, daemon=True)
        self.error: BaseException | None = None
        self.seen = False
        self._action = action
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._began

    def run(self) -> None:
        """Publish."""
        try:
            self._action()
        except BaseException as error:  # noqa: BLE001 - passed to the thread that waits
            self.error = error


def discard(label: str, pending: PendingCopy) -> None:
    """Ask a store to discard its hidden copy; an error is logged, since the removal by location follows."""
    try:
        pending.discard()
    except LeftBehind:
        raise
    except BaseException:
        log.warning("store %s could not discard its copy", label, exc_info=True)
