"""A store that cannot keep up reads the rest from disk; nobody waits for it, and it misses nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from imageport.data import ImageData
from imageport.dataplane.buffers import CHUNK_SIZE, ZERO_CHUNK
from imageport.errors import StoreFailed
from imageport.importing.backlog import Backlog
from imageport.importing.consumer import Consumer
from imageport.importing.fanout import fan_out
from imageport.importing.pipe import CAPACITY

PIECES = [
    *(bytes([number + 1]) * CHUNK_SIZE for number in range(30)), *[ZERO_CHUNK] * 30, b"end", bytes(100_000),
]  # fmt: skip
CONTENT = b"".join(PIECES)


class Slow:
    """Take one piece, then wait until the test says go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, data: ImageData) -> bytes:
        chunks = data.chunks()
        first = next(chunks)
        self.go.wait()
        return b"".join([first, *chunks])


def _keep(data: ImageData) -> bytes:
    return b"".join(data.chunks())


def test_a_slow_store_holds_nobody_back_and_misses_nothing(tmp_path: Path) -> None:
    slow, backlog = Slow(), Backlog(tmp_path / "backlog")
    laggard = Consumer("laggard", slow, optional=True)
    quick = Consumer("quick", _keep, optional=True)
    total = fan_out(
        iter(PIECES), [laggard, quick], size=None, report=lambda done, waits: None, backlog=backlog
    )
    assert total == len(CONTENT)
    assert quick.outcome() == CONTENT
    assert laggard.running
    # Only what the store has still to read is kept, and none of its zeros.
    kept = (tmp_path / "backlog").stat().st_blocks * 512
    assert kept <= 30 * CHUNK_SIZE - CAPACITY + CHUNK_SIZE
    slow.go.set()
    assert laggard.outcome() == CONTENT


def test_a_store_without_place_in_the_pass_reads_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(CONTENT)
    late = Consumer("late", _keep)
    late.start_late(Backlog.of_file(path), len(CONTENT))
    assert late.outcome() == CONTENT
    assert late.pipe.taken == len(CONTENT)


def test_a_slow_store_reads_on_in_the_file_from_where_it_fell_behind(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(CONTENT)
    slow = Slow()
    laggard = Consumer("laggard", slow, optional=True)
    quick = Consumer("quick", _keep, optional=True)
    fan_out(
        ImageData.from_file(path).chunks(), [laggard, quick], size=None, report=lambda done, waits: None,
        backlog=Backlog.of_file(path),
    )  # fmt: skip
    assert quick.outcome() == CONTENT
    slow.go.set()
    assert laggard.outcome() == CONTENT


class Steady:
    """Take a little while for each piece."""

    def __call__(self, data: ImageData) -> bytes:
        kept = []
        for piece in data.chunks():
            threading.Event().wait(0.1)
            kept.append(piece)
        return b"".join(kept)


def test_a_store_that_is_a_little_slow_all_the_time_falls_behind_too(tmp_path: Path) -> None:
    slow = Consumer("slow", Steady(), optional=True)
    quick = Consumer("quick", _keep, optional=True)
    fan_out(
        iter(PIECES[:30]), [slow, quick], size=None, report=lambda done, waits: None,
        backlog=Backlog(tmp_path / "backlog"),
    )  # fmt: skip
    assert slow.pipe.behind
    assert slow.outcome() == quick.outcome() == b"".join(PIECES[:30])


def test_stores_that_are_equally_slow_need_no_backlog(tmp_path: Path) -> None:
    stores = [Consumer(name, Steady(), optional=True) for name in "ab"]
    fan_out(
        iter(PIECES[:30]), stores, size=None, report=lambda done, waits: None,
        backlog=Backlog(tmp_path / "backlog"),
    )  # fmt: skip
    assert not (tmp_path / "backlog").exists()
    assert [store.outcome() for store in stores] == [b"".join(PIECES[:30])] * 2


def test_a_store_that_was_given_up_gets_no_more_of_the_image() -> None:
    slow = Slow()
    consumer = Consumer("stuck", slow)
    consumer.start(None)
    consumer.pipe.put(b"a")
    consumer.pipe.put(b"b")
    while not consumer.pipe.taken:
        slow.go.wait(0.01)
    consumer.give_up(StoreFailed("stuck"))
    consumer.pipe.close()
    slow.go.set()
    while consumer.running:
        slow.go.wait(0.01)
    assert consumer.pipe.taken == 1


def test_data_that_breaks_off_reaches_the_laggard_too(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield from PIECES[:20]
        slow.go.set()
        raise ConnectionError("gone")

    slow = Slow()
    laggard = Consumer("laggard", slow, optional=True)
    with pytest.raises(ConnectionError):
        fan_out(
            broken(), [laggard, Consumer("quick", _keep, optional=True)], size=None,
            report=lambda done, waits: None, backlog=Backlog(tmp_path / "backlog"),
        )  # fmt: skip
    assert laggard.pipe.broken
    assert not laggard.failed
    with pytest.raises(Exception, match="the data ended early: gone"):
        laggard.outcome()


def test_where_the_backlog_has_no_room_only_the_slow_store_fails(tmp_path: Path) -> None:
    slow = Slow()
    laggard = Consumer("laggard", slow, optional=True)
    quick = Consumer("quick", _keep, optional=True)
    fan_out(
        iter(PIECES), [laggard, quick], size=None, report=lambda done, waits: None,
        backlog=Backlog(tmp_path / "no such folder" / "backlog"),
    )  # fmt: skip
    slow.go.set()
    assert quick.outcome() == CONTENT
    with pytest.raises(StoreFailed, match="too slow, and what it has to catch up with cannot be kept"):
        laggard.outcome()


def test_a_needed_store_that_takes_nothing_ends_the_pass() -> None:
    slow = Slow()
    with pytest.raises(StoreFailed, match="store 'stuck' has done nothing for"):
        fan_out(
            iter(PIECES), [Consumer("stuck", slow)], size=None, report=lambda done, waits: None, patience=0.2
        )
    slow.go.set()


def test_what_a_store_brings_too_late_is_thrown_away() -> None:
    go = threading.Event()
    thrown: list[bytes] = []

    def finish_late(data: ImageData) -> bytes:
        content = b"".join(data.chunks())
        go.wait()
        return content

    consumer = Consumer("stuck", finish_late, too_late=thrown.append)
    consumer.start(None)
    consumer.pipe.put(b"a")
    consumer.pipe.close()
    while not consumer.pipe.taken:
        go.wait(0.01)
    consumer.give_up(StoreFailed("stuck"))
    assert consumer.failed
    assert consumer.result is None
    go.set()
    while consumer.running:
        go.wait(0.01)
    assert thrown == [b"a"]


def test_files_of_a_backlog_are_let_go(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    backlog = Backlog(tmp_path / "backlog")
    backlog.append(b"x", 0)
    del backlog
    assert len(os.listdir("/proc/self/fd")) == before
