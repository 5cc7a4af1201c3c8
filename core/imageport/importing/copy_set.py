"""Write all copies of an image, and find the next that may be published; take back those that may not."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from imageport.dataplane.channel import Spill
from imageport.dataplane.fanout import LAG, stalled
from imageport.errors import Cancelled
from imageport.importing.copies import Copy, CopyState
from imageport.watched_calls import LeftBehind, side_by_side

#: Seconds between two looks at stores that are still writing.
_GLANCE: Final = 0.05

#: Seconds that stores which were abandoned have to come to their end.
_LEAVING: Final = 2.0


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
        self._silent: list[str] = []
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

    def next_ready(self, *, together: bool, check: Callable[[], None], patience: float) -> Copy | None:
        """Wait for the next copy that is ready, and return it; None when there is no other.

        It is written and may be published, and comes again after that, or it has failed. With *together* none may be
        published before all are written, nor beside another. Otherwise copies come in the order of the stores, but none
        waits long for a slower one. *check* is called while waiting and may raise. A store that makes no progress for
        *patience* seconds is abandoned.
        """
        while self._unsettled:
            check()
            copy = self._next_together() if together else self._next_alone()
            if copy is not None:
                # It may have taken its last bytes since the report before.
                self.report()
                if copy.state is not CopyState.WRITTEN:
                    self._unsettled.remove(copy)
                return copy
            self._wait(patience)
        return None

    def _next_together(self) -> Copy | None:
        if (failed := next((copy for copy in self._unsettled if copy.failed), None)) is not None:
            return failed
        first = self._unsettled[0]
        return first if first.publishing_for is None and all(copy.ended for copy in self._copies) else None

    def _next_alone(self) -> Copy | None:
        for copy in self._unsettled:
            if (seconds := copy.publishing_for) is not None:
                if seconds < LAG:
                    return None
            elif copy.ended and (copy is self._unsettled[0] or time.monotonic() - copy.ended_at > LAG):
                return copy
        return None

    def _wait(self, patience: float) -> None:
        """Let the stores go on for a moment, and abandon those that make no progress any more."""
        self.start_next()
        for copy in self._copies:
            copy.wait(_GLANCE)
            copy.look_at_publishing(patience)
            if copy.state is CopyState.WRITING and (seconds := copy.stalled_for) > patience:
                copy.abandon(stalled(copy.label, seconds))

    def give_up(self, error: BaseException, *, seconds_left: Callable[[], float]) -> list[Copy]:
        """Take back the copies that are not published, as failed with *error*, and return them."""
        copies = [copy for copy in self._copies if copy.state is not CopyState.PUBLISHED]
        self._take_back(copies, error, seconds_left=seconds_left)
        return copies

    def restart(self, *, patience: float, seconds_left: Callable[[], float]) -> None:
        """Remove the written bytes, to begin again with other data."""
        self.discard(patience=patience, seconds_left=seconds_left)
        self._left_behind += [copy for copy in self._copies if copy.abandoned]
        self._copies, self._unsettled = (), []

    def discard(self, *, patience: float, seconds_left: Callable[[], float]) -> None:
        """Take back the copies that are not published.

        A store that makes no progress for *patience* seconds, or until few seconds are left, is left behind.
        """
        for copy in self._copies:
            copy.channel.close(Cancelled("the import has ended"))
        waiting = part_of(seconds_left)
        while waiting() > 0 and any(copy.state is CopyState.WRITING for copy in self._copies):
            for copy in self._copies:
                copy.wait(_GLANCE)
                if copy.state is CopyState.WRITING and copy.stalled_for > patience:
                    copy.abandon()
        copies = [copy for copy in self._copies if copy.state is not CopyState.PUBLISHED]
        self._take_back(copies, seconds_left=part_of(seconds_left))

    def stuck(self, *, seconds_left: Callable[[], float]) -> list[str]:
        """Return the stores that are left behind, maybe before a restart, once those that stop had the time for it."""
        give_up = time.monotonic() + min(_LEAVING, part_of(seconds_left)())
        at_work = (*self._left_behind, *self._copies)
        stuck = [copy.label for copy in at_work if copy.is_stuck(max(0.0, give_up - time.monotonic()))]
        return [*stuck, *self._silent]

    def _take_back(
        self,
        copies: Collection[Copy],
        error: BaseException | None = None,
        *,
        seconds_left: Callable[[], float],
    ) -> None:
        """Take *copies* back unless they have ended, all at the same time; with *error* their stores have failed.

        A store that is stuck until no second is left is left behind. Once publishing was begun, the copy is removed by
        its row.
        """
        written = {number: [copy] for number, copy in enumerate(copies) if copy.state is CopyState.WRITTEN}
        for copy in copies:
            if copy.state is not CopyState.WRITTEN:
                copy.give_up(error)
        for done in side_by_side(
            written, Copy.ask_to_discard, late_error=lambda _: LeftBehind(), seconds_left=seconds_left
        ):
            if done.error is not None:
                self._silent.append(done.item.label)
            done.item.give_up(error, is_stuck=done.error is not None)


def part_of(seconds_left: Callable[[], float]) -> Callable[[], float]:
    """Return a count down of half of the seconds that are left, so that the other half is left afterwards."""
    kept = seconds_left() / 2
    return lambda: seconds_left() - kept
