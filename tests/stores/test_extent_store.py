"""Stores of volumes leave zeros out, keep many writes in flight, and hide nothing about their failures."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stores.volume_shelf import FixedShelf, PassingError, Shelf, ShelfError, SlowShelf

from imageport import ImageData, Location, StoreFailed
from imageport.dataplane.buffers import CHUNK_SIZE, ZERO_CHUNK
from imageport.errors import StepCrashed
from imageport.stores import in_flight
from imageport.testing import Bench, StoreConformance, Stream, bench

NOISE = random.Random(3).randbytes(9 << 20)


class ShelfConformance(StoreConformance):
    # The store itself is in memory.
    large = 20 << 20

    @pytest.fixture(autouse=True)
    def _empty_shelf(self) -> Iterator[None]:
        Shelf.clear()
        yield
        assert Shelf.open_volumes == 0

    def traces(self, folder: Path) -> list[str]:
        return sorted(Shelf.volumes)


class TestShelf(ShelfConformance):
    plugin = Shelf


class TestSlowShelf(ShelfConformance):
    plugin = SlowShelf


class TestFixedShelf(ShelfConformance):
    plugin = FixedShelf


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(in_flight, "DELAYS", (0, 0, 0))
    Shelf.clear()
    with bench(Shelf, {}, tmp_path, is_store=True) as made:
        yield made
    assert Shelf.open_volumes == 0


def writes(store: Bench, data: ImageData) -> list[tuple[int, int]]:
    """Import *data* and return offset and length of all writes."""
    store.write(data).publish()
    return sorted(next(iter(Shelf.volumes.values())).writes)


def test_only_data_is_written_and_only_data_is_read(store: Bench) -> None:
    data = Stream(NOISE[:CHUNK_SIZE], *[ZERO_CHUNK] * 50, bytes(1 << 20) + NOISE[: 1 << 20]).data()
    copy = store.write(data)
    copy.publish()
    record = next(iter(Shelf.volumes.values()))
    assert sorted(record.writes) == [(0, CHUNK_SIZE), (51 * CHUNK_SIZE + (1 << 20), 1 << 20)]
    chunks = list(store.chunks(store.open(copy.location)))
    assert sum(map(len, chunks)) == len(record.content)
    assert [chunk is ZERO_CHUNK for chunk in chunks[1:51]] == [True] * 50
    assert Shelf.bytes_read == CHUNK_SIZE + (1 << 20)


def test_writes_are_as_long_as_an_extent_and_do_not_cross_one(store: Bench) -> None:
    lengths = random.Random(5).choices(range(1, 3 << 20), k=20)
    pieces, position = [], 0
    for length in lengths:
        pieces.append(NOISE[position : position + length])
        position = min(position + length, len(NOISE))
    assert writes(store, Stream(*pieces).data(with_size=False)) == [
        (0, CHUNK_SIZE), (CHUNK_SIZE, CHUNK_SIZE), (2 * CHUNK_SIZE, 1 << 20),
    ]  # fmt: skip


def test_a_copy_of_unknown_size_grows_and_ends_at_its_size(store: Bench) -> None:
    store.write(Stream(b"x", *[ZERO_CHUNK] * 200, b"y").data(with_size=False)).publish()
    record = next(iter(Shelf.volumes.values()))
    assert len(record.content) == 200 * CHUNK_SIZE + 2
    assert record.content[0] == ord("x")
    assert record.content[-1] == ord("y")


@pytest.mark.parametrize("call", ["create", "write", "flush"])
def test_passing_errors_are_retried(store: Bench, call: str) -> None:
    Shelf.failures[call] = [PassingError("dust"), PassingError("dust")]
    copy = store.write(Stream(NOISE).data())
    copy.publish()
    assert store.read(copy.location) == NOISE


@pytest.mark.parametrize("call", ["create", "write", "resize", "flush", "seal"])
def test_the_first_error_is_reported_and_nothing_is_left(store: Bench, call: str) -> None:
    Shelf.failures[call] = [ShelfError("the shelf fell down")]
    source = Stream(NOISE)
    with pytest.raises(StoreFailed) as caught:
        store.write(source.data(with_size=call != "resize"))
    assert str(caught.value) == f"cannot use {store.announced[-1].url}: the shelf fell down"
    assert caught.value.hint == "dust the shelf"
    assert Shelf.volumes == {}


def test_a_store_that_cannot_be_reached_is_reported_without_a_location(store: Bench) -> None:
    Shelf.failures["prefix"] = [ShelfError("the door is locked")]
    with pytest.raises(StoreFailed, match="cannot use the store: the door is locked"):
        store.write(Stream(NOISE).data())
    assert store.announced == []


@pytest.mark.parametrize("call", ["write", "seal"])
def test_a_clean_up_that_fails_does_not_hide_the_cause(store: Bench, call: str) -> None:
    Shelf.failures[call] = [ShelfError("the shelf fell down")]
    Shelf.failures["remove"] = [ShelfError("the shelf is on the floor")]
    with pytest.raises(StoreFailed, match="fell down"):
        store.write(Stream(NOISE).data())
    assert len(Shelf.volumes) == 1
    store.delete(store.announced[-1])
    assert Shelf.volumes == {}


def test_an_error_that_does_not_pass_is_reported_after_the_last_attempt(store: Bench) -> None:
    Shelf.failures["write"] = [PassingError("dust") for _ in range(100)]
    with pytest.raises(StoreFailed) as caught:
        store.write(Stream(NOISE).data())
    assert caught.value.retry
    assert caught.value.hint == "wait for the dust to settle"


def test_an_error_without_a_remedy_is_a_defect_of_the_store(store: Bench) -> None:
    Shelf.failures["write"] = [KeyError("typo")]
    with pytest.raises(StepCrashed):
        store.write(Stream(NOISE).data())
    assert Shelf.volumes == {}


def test_a_copy_that_cannot_be_published_is_removed(store: Bench) -> None:
    copy = store.write(Stream(NOISE).data())
    Shelf.failures["rename"] = [ShelfError("the shelf fell down")]
    with pytest.raises(StoreFailed, match="fell down"):
        copy.publish()
    assert Shelf.volumes == {}


@pytest.mark.parametrize(
    "url",
    [
        "shelf://other/disk/snap", "shelf://memory/disk", "shelf://memory//snap", "shelf://memory/a/b/snap",
        "shelf://memory/snap", "https://memory/disk/snap",
    ],
)  # fmt: skip
def test_locations_of_other_stores_are_refused(store: Bench, url: str) -> None:
    for use in (store.read, store.delete):
        with pytest.raises(StoreFailed) as caught:
            use(Location(url=url))
        assert str(caught.value) == f"{url} is not in shelf://memory/"


def test_a_copy_that_was_replaced_is_neither_read_nor_removed(store: Bench) -> None:
    copy = store.write(Stream(NOISE).data())
    copy.publish()
    record = next(iter(Shelf.volumes.values()))
    record.mark = "1"
    with pytest.raises(StoreFailed, match="was replaced after the import"):
        store.read(copy.location)
    store.delete(copy.location)
    assert list(Shelf.volumes.values()) == [record]
