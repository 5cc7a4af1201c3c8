"""A store that lags reads the rest from the spill file; no other store waits for it, and it misses nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from imageport.data import ImageData
from imageport.dataplane.buffers import CHUNK_SIZE, ZERO_CHUNK, Chunks
from imageport.dataplane.channel import CAPACITY, Spill
from imageport.dataplane.fanout import Consumer, fan_out
from imageport.errors import StoreFailed

PIECES = [
    *(bytes([number + 1]) * CHUNK_SIZE for number in range(30)), *[ZERO_CHUNK] * 30, b"end", bytes(100_000),
]  # fmt: skip
CONTENT = b"".join(PIECES)


class Slow:
    """Take one piece, then wait until the test sets ``go``."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def __call__(self, chunks: Chunks) -> bytes:
        first = next(chunks)
        self.go.wait()
        return b"".join([first, *chunks])


def _keep(chunks: Chunks) -> bytes:
    return b"".join(chunks)


def test_a_slow_store_delays_no_other_and_misses_nothing(tmp_path: Path) -> None:
    slow, spill = Slow(), Spill(tmp_path / "spill")
    laggard = Consumer("laggard", slow, optional=True)
    quick = Consumer("quick", _keep, optional=True)
    total = fan_out(iter(PIECES), [laggard, quick], report=lambda done, waits: None, spill=spill)
    assert total == len(CONTENT)
    assert quick.outcome() == CONTENT
    assert laggard.running
    # Only what the store has still to read is kept, and none of its zeros.
    kept = (tmp_path / "spill").stat().st_blocks * 512
    assert kept <= 30 * CHUNK_SIZE - CAPACITY + CHUNK_SIZE
    slow.go.set()
    assert laggard.outcome() == CONTENT


def test_a_store_without_a_slot_in_the_pass_reads_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(CONTENT)
    late = Consumer("late", _keep)
    late.channel.read_from(Spill.of_file(path))
    late.start()
    assert late.outcome() == CONTENT
    assert late.channel.taken == len(CONTENT)


def test_a_slow_store_reads_on_in_the_file_from_where_it_spilled(tmp_path: Path) -> None:
    path = tmp_path / "spool"
    path.write_bytes(CONTENT)
    slow = Slow()
    laggard = Consumer("laggard", slow, optional=True)
    quick = Consumer("quick", _keep, optional=True)
    fan_out(
        ImageData.from_file(path).chunks(), [laggard, quick], report=lambda done, waits: None,
        spill=Spill.of_file(path),
    )  # fmt: skip
    assert quick.outcome() == CONTENT
    slow.go.set()
    assert laggard.outcome() == CONTENT


class Steady:
    """Take a little while for each piece."""

    def __call__(self, chunks: Chunks) -> bytes:
        kept = []
        for piece in chunks:
            threading.Event().wait(0.1)
            kept.append(piece)
        return b"".join(kept)


def test_a_store_that_is_a_little_slow_all_the_time_spills_too(tmp_path: Path) -> None:
    slow = Consumer("slow", Steady(), optional=True)
    quick = Consumer("quick", _keep, optional=True)
    fan_out(
        iter(PIECES[:30]), [slow, quick], report=lambda done, waits: None,
        spill=Spill(tmp_path / "spill"),
    )  # fmt: skip
    assert slow.channel.spilled
    assert slow.outcome() == quick.outcome() == b"".join(PIECES[:30])


def test_stores_that_are_equally_slow_need_no_spill_file(tmp_path: Path) -> None:
    stores = [Consumer(name, Steady(), optional=True) for name in "ab"]
    fan_out(
        iter(PIECES[:30]), stores, report=lambda done, waits: None,
        spill=Spill(tmp_path / "spill"),
    )  # fmt: skip
    assert not (tmp_path / "spill").exists()
    assert [store.outcome() for store in stores] == [b"".join(PIECES[:30])] * 2


def test_data_that_breaks_off_reaches_the_laggard_too(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield from PIECES[:20]
        slow.go.set()
        raise ConnectionError("gone")

    slow = Slow()
    laggard = Consumer("laggard", slow, optional=True)
    with pytest.raises(ConnectionError):
        fan_out(
            broken(), [laggard, Consumer("quick", _keep, optional=True)],
            report=lambda done, waits: None, spill=Spill(tmp_path / "spill"),
        )  # fmt: skip
    assert laggard.channel.broken
    assert not laggard.failed
    with pytest.raises(Exception, match="the data ended early: gone"):
        laggard.outcome()


def test_where_the_spill_file_has_no_room_only_the_slow_store_fails(tmp_path: Path) -> None:
    slow = Slow()
    laggard = Consumer("laggard", slow, optional=True)
    quick = Consumer("quick", _keep, optional=True)
    fan_out(
        iter(PIECES), [laggard, quick], report=lambda done, waits: None,
        spill=Spill(tmp_path / "no such folder" / "spill"),
    )  # fmt: skip
    slow.go.set()
    assert quick.outcome() == CONTENT
    with pytest.raises(StoreFailed, match="too slow, and what it has to catch up with cannot be kept"):
        laggard.outcome()


def test_a_needed_store_that_takes_nothing_ends_the_pass() -> None:
    slow = Slow()
    with pytest.raises(StoreFailed, match="store 'stuck' has done nothing for"):
        fan_out(iter(PIECES), [Consumer("stuck", slow)], report=lambda done, waits: None, patience=0.2)
    slow.go.set()


def test_files_of_a_spill_are_closed(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    spill = Spill(tmp_path / "spill")
    spill.append(b"x", 0)
    del spill
    assert len(os.listdir("/proc/self/fd")) == before
