"""Write the copies of an image, one in each store, in a single pass over its bytes; each copy has a state."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final

from imageport.dataplane.buffers import Chunks
from imageport.dataplane.channel import Spill
from imageport.dataplane.fanout import LAG, LAST_WAIT, Consumer, stalled
from imageport.errors import Cancelled
from imageport.importing.report import StoreReport
from imageport.values import PendingCopy

log = logging.getLogger(__name__)

#: Seconds between two looks at stores that are still writing.
_GLANCE = 0.05

#: Seconds that stores which were abandoned have to come to their end.
_LEAVING = 2.0


class CopyState(StrEnum):
    """The states of a copy; the last three are final."""

    WAITING = "waiting"
    #: The store takes the bytes.
    WRITING = "writing"
    #: The store has all bytes, and the copy is hidden.
    WRITTEN = "written"
    #: The store makes the copy visible. From here on the row in the catalog decides which bytes are removed.
    PUBLISHING = "publishing"
    #: The catalog lists the copy as a location of the image.
    PUBLISHED = "published"
    #: The store is at fault.
    FAILED = "failed"
    #: The copy was taken back, or its data broke off; the store is not at fault.
    DISCARDED = "discarded"
    #: The import left the store behind at work. A late result of the store is discarded.
    ABANDONED = "abandoned"


_S = CopyState

#: The states that may follow each state.
MOVES: Final[Mapping[CopyState, frozenset[CopyState]]] = {
    _S.WAITING: frozenset({_S.WRITING, _S.FAILED, _S.DISCARDED}),
    _S.WRITING: frozenset({_S.WRITTEN, _S.FAILED, _S.DISCARDED, _S.ABANDONED}),
    _S.WRITTEN: frozenset({_S.PUBLISHING, _S.FAILED, _S.DISCARDED}),
    _S.PUBLISHING: frozenset({_S.PUBLISHED, _S.FAILED, _S.DISCARDED, _S.ABANDONED}),
    _S.PUBLISHED: frozenset({_S.DISCARDED}),
    _S.FAILED: frozenset(),
    _S.DISCARDED: frozenset(),
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

    def discard(self, error: BaseException | None = None, *, patience: float = _LEAVING) -> None:
        """Take the copy back unless it has ended; with *error* its store has failed.

        A store stuck for *patience* seconds is left behind. Once publishing was begun, the copy is removed by its row.
        """
        if self.state is CopyState.WRITING:
            self.abandon(error)
        before = self.state
        if CopyState.DISCARDED not in MOVES[before]:
            if before is CopyState.ABANDONED and self.error is None:
                self.error = error
            return
        self.error = error
        self.move(CopyState.DISCARDED if error is None else CopyState.FAILED)
        if before is CopyState.WRITTEN:
            self.finalize(lambda: discard(self.label, self.pending), patience=patience)

    def publish(self, *, patience: float, check: Callable[[], None]) -> BaseException | None:
        """Make the copy visible in its store, and return the error, which is the fault of the store.

        A store that is stuck for *patience* seconds is abandoned. *check* is called while waiting; its error is
        raised here, and the store is abandoned without a fault.
        """
        self.move(CopyState.PUBLISHING)
        try:
            error = self.finalize(self.pending.publish, patience=patience, check=check)
        except BaseException:
            self.move(CopyState.ABANDONED)
            raise
        if error is not None:
            self.error = error
            self.move(CopyState.ABANDONED if self.running else CopyState.FAILED)
        return error

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
        elif self.state is CopyState.PUBLISHED:
            report.status, report.location = "published", self.pending.location.url
        return report


class CopySet:
    """The copies of one image in the order of their stores, of which no more than *slots* are written at a time.

    Those that got no slot in the pass read *spill*, a file with the whole image. *report* shows how far all are.
    """

    def __init__(self) -> None:
        self.slots = 0
        self.spill: Spill | None = None
        self.report: Callable[[], None] = lambda: None
        self._copies: tuple[Copy, ...] = ()
        self._left_behind: list[Copy] = []
        self._unsettled: list[Copy] = []

    def __iter__(self) -> Iterator[Copy]:
        return iter(self._copies)

    def __len__(self) -> int:
        return len(self._copies)

    def begin(self, copies: Sequence[Copy], *, slots: int) -> Sequence[Copy]:
        """Take *copies* in, of which some may have failed, and return those that get a slot in the pass."""
        self.slots = slots
        self._copies = tuple(copies)
        self._unsettled = list(copies)
        return [copy for copy in copies if copy.state is CopyState.WAITING][:slots]

    def start_next(self) -> None:
        """Start the next copies as far as there are slots, unless a needed one has failed."""
        # A store that is stuck and was abandoned takes no slot.
        running = sum(copy.state is CopyState.WRITING for copy in self._copies)
        over = any(copy.failed and not copy.optional for copy in self._copies)
        for copy in self._copies:
            if copy.state is CopyState.WAITING and not over and self.spill and running < self.slots:
                copy.channel.read_from(self.spill)
                copy.start()
                running += 1
        self.report()

    def next_ended(self, *, together: bool, check: Callable[[], None], patience: float) -> Copy | None:
        """Wait for the next copy that may be published, or has failed, and return it; None when there is no other.

        With *together* none may be published before all are written. Otherwise copies come in the order of the stores,
        but none waits long for a slower one. *check* is called while waiting and may raise. A store that makes no
        progress for *patience* seconds is abandoned.
        """
        while self._unsettled:
            check()
            copy = self._next_together() if together else self._next_ready()
            if copy is not None:
                # It may have taken its last bytes since the report before.
                self.report()
                self._unsettled.remove(copy)
                return copy
            self._wait(patience)
        return None

    def _next_together(self) -> Copy | None:
        if (failed := next((copy for copy in self._unsettled if copy.failed), None)) is not None:
            return failed
        return self._unsettled[0] if all(copy.ended for copy in self._copies) else None

    def _next_ready(self) -> Copy | None:
        for copy in self._unsettled:
            if copy.ended and (copy is self._unsettled[0] or time.monotonic() - copy.ended_at > LAG):
                return copy
        return None

    def _wait(self, patience: float) -> None:
        """Let the stores go on for a moment, and abandon those that make no progress any more."""
        self.start_next()
        for copy in self._copies:
            copy.wait(_GLANCE)
            if copy.state is CopyState.WRITING and (seconds := copy.stalled_for) > patience:
                copy.abandon(stalled(copy.label, seconds))

    def give_up(self, error: BaseException) -> list[Copy]:
        """Take back the copies that are not published, as failed with *error*, and return them."""
        copies = [copy for copy in self._copies if copy.state is not CopyState.PUBLISHED]
        for copy in copies:
            copy.discard(error)
        return copies

    def restart(self) -> None:
        """Remove the written bytes, to begin again with other data."""
        self.discard()
        self._left_behind += [copy for copy in self._copies if copy.running]
        self._copies, self._unsettled = (), []

    def discard(self) -> None:
        """Take back the copies that are not published; a store that is stuck is left behind."""
        for copy in self._copies:
            copy.channel.close(Cancelled("the import has ended"))
        deadline = time.monotonic() + LAST_WAIT
        for copy in self._copies:
            copy.wait(max(0.0, deadline - time.monotonic()))
            if copy.state is not CopyState.PUBLISHED:
                copy.discard(patience=max(_LEAVING, deadline - time.monotonic()))

    def stuck(self) -> list[str]:
        """Return the stores that are still at work, maybe since before a restart, once those that stop had the time."""
        deadline = time.monotonic() + _LEAVING
        at_work = (*self._left_behind, *self._copies)
        return [copy.label for copy in at_work if copy.is_stuck(max(0.0, deadline - time.monotonic()))]


def discard(label: str, pending: PendingCopy) -> None:
    """Ask a store to discard its hidden copy; an error is logged, since the removal by location follows."""
    try:
        pending.discard()
    except BaseException:
        log.warning("store %s could not discard its copy", label, exc_info=True)
