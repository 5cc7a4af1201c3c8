"""Each copy has one state, which changes in the written-down ways only; the store report is read from it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import product

import pytest

from imageport import Cancelled, Chunks, ImageportError, Location, StoreFailed
from imageport.dataplane.fanout import fan_out
from imageport.importing.copies import MOVES, Copy, CopyState, IllegalMove
from imageport.importing.copy_set import CopySet
from imageport.values import StagedCopy

S = CopyState
PATIENCE = 60.0


def no_check() -> None:
    """Let the import go on."""


class Shop:
    """A store that notes what is asked of its copies, and stops at the gates that are shut."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.writing = self._open()
        self.publishing = self._open()
        self.has_read = threading.Event()
        self.error: BaseException | None = None

    @staticmethod
    def _open() -> threading.Event:
        gate = threading.Event()
        gate.set()
        return gate

    def copy(self, label: str = "shop", *, optional: bool = True) -> Copy:
        def publish() -> None:
            self.publishing.wait()
            if self.error is not None:
                raise self.error
            self.calls.append(f"publish {label}")

        def write(chunks: Chunks) -> StagedCopy:
            count = sum(map(len, chunks))
            self.has_read.set()
            self.writing.wait()
            if self.error is not None:
                raise self.error
            return StagedCopy(
                Location(url=label), count, publish, lambda: self.calls.append(f"discard {label}")
            )

        return Copy(label, write, optional=optional)

    def written(self, label: str = "shop") -> Copy:
        copy = self.copy(label)
        copy.start()
        copy.channel.close()
        copy.wait()
        assert copy.state is S.WRITTEN
        return copy


def _left() -> float:
    return PATIENCE


def _publish(copy: Copy, *, patience: float = PATIENCE) -> BaseException | None:
    copy.begin_publishing()
    while copy.publishing_for is not None:
        copy.look_at_publishing(patience)
    copy.look_at_publishing(patience)
    return copy.error


def _take_back(copy: Copy, error: BaseException | None = None, *, seconds: float = PATIENCE) -> CopySet:
    copies = CopySet()
    copies.begin([copy], slots=1)
    if error is None:
        copies.discard(patience=PATIENCE, seconds_left=_countdown(seconds))
    else:
        copies.give_up(error, seconds_left=_countdown(seconds))
    return copies


def _countdown(seconds: float) -> Callable[[], float]:
    give_up = time.monotonic() + seconds
    return lambda: give_up - time.monotonic()


def _wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(("before", "after"), [*product(S, S)], ids=str)
def test_only_the_listed_moves_are_possible(before: CopyState, after: CopyState) -> None:
    copy = Shop().copy()
    copy.state = before
    if after in MOVES[before]:
        copy.move(after)
        assert copy.state is after
    else:
        with pytest.raises(IllegalMove, match=f"is {before} and cannot become {after}"):
            copy.move(after)
        assert copy.state is before


def test_every_state_can_be_reached_and_left_unless_it_is_final() -> None:
    assert set(MOVES) == set(S)
    assert set().union(*MOVES.values()) == set(S) - {S.WAITING}
    assert {state for state in S if not MOVES[state]} == {S.FAILED, S.ABANDONED}


def test_a_copy_that_is_written_and_published_is_reported_with_its_place() -> None:
    shop = Shop()
    copy = shop.copy()
    assert copy.state is S.WAITING
    copy.start()
    copy.channel.put(b"four")
    copy.channel.close()
    copy.wait()
    assert (copy.state, copy.report().status) == (S.WRITTEN, "discarded")
    assert _publish(copy) is None
    assert (copy.state, copy.report().status) == (S.PUBLISHING, "discarded"), (
        "the catalog does not list it yet"
    )
    copy.move(S.PUBLISHED)
    report = copy.report()
    assert (report.status, report.location, report.bytes_written, report.error) == (
        "published", "shop", 4, None,
    )  # fmt: skip
    assert shop.calls == ["publish shop"]


def test_what_a_store_delivers_too_late_is_discarded_and_the_copy_stays_abandoned() -> None:
    shop = Shop()
    shop.writing.clear()
    copy = shop.copy()
    copy.start()
    copy.channel.put(b"a")
    copy.channel.close()
    shop.has_read.wait()
    copy.abandon(StoreFailed("stuck"))
    assert (copy.state, copy.failed, copy.report().status) == (S.ABANDONED, True, "failed")
    assert copy.is_stuck(0.0)
    assert shop.calls == []
    shop.writing.set()
    assert not copy.is_stuck(PATIENCE)
    assert shop.calls == ["discard shop"]
    assert (copy.state, str(copy.error)) == (S.ABANDONED, "stuck")
    with pytest.raises(IllegalMove, match="was not written"):
        _ = copy.pending


def test_an_abandoned_store_gets_no_more_of_the_image() -> None:
    go = threading.Event()

    def slow(chunks: Chunks) -> StagedCopy:
        next(chunks)
        go.wait()
        return StagedCopy(Location(url="slow"), sum(map(len, chunks)), no_check, no_check)

    copy = Copy("slow", slow)
    copy.start()
    copy.channel.put(b"a")
    copy.channel.put(b"b")
    _wait_for(lambda: copy.channel.taken == 1)
    copy.abandon(StoreFailed("stuck"))
    copy.channel.close()
    go.set()
    assert not copy.is_stuck(PATIENCE)
    assert copy.channel.taken == 1


def test_a_copy_that_is_written_cannot_be_abandoned_any_more() -> None:
    copy = Shop().written()
    copy.abandon(StoreFailed("stuck"))
    assert (copy.state, copy.error) == (S.WRITTEN, None)


def test_a_store_that_raises_has_failed_and_its_error_is_reported() -> None:
    shop = Shop()
    shop.error = StoreFailed("the disk is on fire")
    copy = shop.copy()
    copy.start()
    copy.channel.close()
    copy.wait()
    assert (copy.state, copy.report().status, copy.report().error) == (
        S.FAILED, "failed", "the disk is on fire",
    )  # fmt: skip


def test_a_store_is_not_at_fault_when_its_data_breaks_off() -> None:
    def pieces() -> Chunks:
        yield b"a"
        raise ConnectionError("gone")

    copy = Shop().copy()
    with pytest.raises(ConnectionError):
        fan_out(pieces(), [copy], report=lambda _done, _waits: None)
    assert (copy.state, copy.failed, copy.report().status) == (S.DISCARDED, False, "discarded")
    assert copy.report().error is None


def test_a_store_that_raises_while_it_publishes_has_failed() -> None:
    shop = Shop()
    copy = shop.written()
    shop.error = StoreFailed("cannot rename")
    assert _publish(copy) is shop.error
    assert (copy.state, copy.failed) == (S.FAILED, True)
    _take_back(copy)
    assert shop.calls == [], "after publishing was begun, only the row in the catalog removes the bytes"


def test_a_store_that_is_stuck_while_it_publishes_is_abandoned_as_failed() -> None:
    shop = Shop()
    copy = shop.written()
    shop.publishing.clear()
    error = _publish(copy, patience=0.05)
    assert isinstance(error, StoreFailed)
    assert (copy.state, copy.failed, copy.error) == (S.ABANDONED, True, error)
    assert copy.is_stuck(0.0)
    shop.publishing.set()
    assert not copy.is_stuck(PATIENCE)


def test_a_store_that_publishes_when_the_import_is_interrupted_is_abandoned_without_a_fault() -> None:
    shop = Shop()
    copy = shop.written()
    shop.publishing.clear()
    copy.begin_publishing()
    copies = _take_back(copy)
    assert (copy.state, copy.failed, copy.report().status) == (S.ABANDONED, False, "abandoned")
    assert copies.stuck(seconds_left=_countdown(0.1)) == ["shop"]
    shop.publishing.set()
    assert not copy.is_stuck(PATIENCE)
    assert copies.stuck(seconds_left=_left) == []
    assert shop.calls == ["publish shop"]


@pytest.mark.parametrize("fault", [None, StoreFailed("not done in time")])
def test_a_written_copy_is_discarded_once(fault: ImageportError | None) -> None:
    shop = Shop()
    copy = shop.written()
    _take_back(copy, fault)
    _take_back(copy, fault)
    assert shop.calls == ["discard shop"]
    assert copy.state is (S.DISCARDED if fault is None else S.FAILED)
    assert copy.report().error == (fault and str(fault))


def test_a_copy_that_was_never_begun_is_discarded_without_asking_the_store() -> None:
    shop = Shop()
    copy = shop.copy()
    _take_back(copy)
    assert (copy.state, copy.report().status, shop.calls) == (S.DISCARDED, "discarded", [])


def test_taking_all_copies_back_leaves_a_store_behind_that_is_stuck() -> None:
    stuck, good = Shop(), Shop()
    stuck.writing.clear()
    late, ready = stuck.copy("late"), good.copy("ready")
    copies = CopySet()
    for copy in copies.begin([late, ready], slots=2):
        copy.start()
        copy.channel.close()
    ready.wait()
    stuck.has_read.wait()
    copies.discard(patience=PATIENCE, seconds_left=_countdown(0.5))
    assert (late.state, late.failed) == (S.ABANDONED, False)
    assert (ready.state, good.calls) == (S.DISCARDED, ["discard ready"])
    stuck.writing.set()
    _wait_for(lambda: stuck.calls == ["discard late"])


def test_a_copy_that_waits_for_its_turn_when_the_import_is_interrupted_is_discarded() -> None:
    shops = {name: Shop() for name in ("first", "slow", "last")}
    shops["slow"].writing.clear()
    copies = CopySet()
    for copy in copies.begin([shop.copy(name) for name, shop in shops.items()], slots=3):
        copy.start()
        copy.channel.close()
    first, slow, last = copies
    assert copies.next_ready(together=False, check=no_check, patience=PATIENCE) is first
    _publish(first)
    first.move(S.PUBLISHED)
    last.wait()
    shops["slow"].has_read.wait()

    def interrupted() -> None:
        raise Cancelled("the import was interrupted")

    with pytest.raises(Cancelled):
        copies.next_ready(together=False, check=interrupted, patience=PATIENCE)
    why = StoreFailed("the import was interrupted before this store was done")
    assert copies.give_up(why, seconds_left=_left) == [slow, last]
    assert [copy.state for copy in copies] == [S.PUBLISHED, S.ABANDONED, S.FAILED]
    assert slow.error is last.error is why
    assert (shops["first"].calls, shops["last"].calls) == (["publish first"], ["discard last"])
    assert shops["slow"].calls == []
    shops["slow"].writing.set()
    _wait_for(lambda: shops["slow"].calls == ["discard slow"])


def test_together_no_copy_may_be_published_before_all_are_written() -> None:
    quick, slow = Shop(), Shop()
    slow.writing.clear()
    copies = CopySet()
    for copy in copies.begin([quick.copy("quick"), slow.copy("slow")], slots=2):
        copy.start()
        copy.channel.close()
    looks = []

    def look() -> None:
        looks.append(next(iter(copies)).state)
        if looks.count(S.WRITTEN) > 1:
            slow.writing.set()

    order = []
    while following := copies.next_ready(together=True, check=look, patience=PATIENCE):
        assert all(copy.ended for copy in copies)
        order.append((following.label, following.state))
        if following.state is S.WRITTEN:
            following.begin_publishing()
    assert order == [
        ("quick", S.WRITTEN), ("quick", S.PUBLISHING), ("slow", S.WRITTEN), ("slow", S.PUBLISHING),
    ]  # fmt: skip


def test_a_store_that_is_stuck_while_it_publishes_does_not_keep_the_next_from_it() -> None:
    shops = {name: Shop() for name in ("stuck", "good")}
    shops["stuck"].publishing.clear()
    copies = CopySet()
    for copy in copies.begin([shop.copy(name) for name, shop in shops.items()], slots=2):
        copy.start()
        copy.channel.close()
    order = []
    while following := copies.next_ready(together=False, check=no_check, patience=2.0):
        order.append((following.label, following.state))
        if following.state is S.WRITTEN:
            following.begin_publishing()
        elif following.state is S.PUBLISHING:
            following.move(S.PUBLISHED)
    shops["stuck"].publishing.set()
    assert order == [
        ("stuck", S.WRITTEN), ("good", S.WRITTEN), ("good", S.PUBLISHING), ("stuck", S.ABANDONED),
    ]  # fmt: skip


@pytest.mark.parametrize("fault", [None, StoreFailed("not done in time")])
def test_a_store_that_is_stuck_while_it_discards_is_left_behind_and_the_others_are_not(
    fault: StoreFailed | None,
) -> None:
    gate = threading.Event()
    good = Shop()

    def discard() -> None:
        gate.wait()

    def stuck(chunks: Chunks) -> StagedCopy:
        return StagedCopy(Location(url="stuck"), sum(map(len, chunks)), no_check, discard)

    copies = CopySet()
    both = copies.begin([Copy("stuck", stuck, optional=True), good.copy("good")], slots=2)
    for copy in both:
        copy.start()
        copy.channel.close()
        copy.wait()
    if fault is None:
        copies.discard(patience=PATIENCE, seconds_left=_countdown(1.0))
    else:
        copies.give_up(fault, seconds_left=_countdown(0.5))
    assert [copy.state for copy in copies] == [S.ABANDONED, S.DISCARDED if fault is None else S.FAILED]
    assert [copy.failed for copy in copies] == [fault is not None] * 2
    assert copies.stuck(seconds_left=_left) == ["stuck"]
    assert good.calls == ["discard good"]
    gate.set()


def test_together_a_failed_copy_comes_first() -> None:
    slow, broken = Shop(), Shop()
    slow.writing.clear()
    broken.error = StoreFailed("full")
    copies = CopySet()
    first = copies.begin([slow.copy("slow", optional=False), broken.copy("broken", optional=False)], slots=2)
    for copy in first:
        copy.start()
        copy.channel.close()
    failed = copies.next_ready(together=True, check=no_check, patience=PATIENCE)
    assert failed is not None
    assert (failed.label, failed.failed) == ("broken", True)
    slow.writing.set()


def test_a_store_that_was_stuck_before_a_restart_still_counts_as_at_work() -> None:
    answers = threading.Event()

    def hang(_chunks: Chunks) -> StagedCopy:
        answers.wait()
        raise StoreFailed("too late")

    copies = CopySet()
    [copy] = copies.begin([Copy("stuck", hang)], slots=1)
    copy.start()
    copies.restart(patience=PATIENCE, seconds_left=_countdown(0.1))
    copies.begin([Shop().copy("fine")], slots=1)
    assert copies.stuck(seconds_left=_countdown(0.1)) == ["stuck"]
    answers.set()
    _wait_for(lambda: not copy.running)
    assert copies.stuck(seconds_left=_left) == []


class Cancelling(BaseException):
    """The kind of error that asyncio raises in a coroutine that is cancelled: it is not an ``Exception``."""


@pytest.mark.parametrize(
    "error", [Cancelling(), KeyboardInterrupt(), GeneratorExit(), SystemExit()], ids=repr
)
def test_a_store_that_raises_anything_while_it_publishes_has_failed(error: BaseException) -> None:
    shop = Shop()
    copy = shop.written()
    shop.error = error
    assert _publish(copy) is error
    assert (copy.state, copy.error) == (S.FAILED, error)
