"""A store in parts: each fault of its server at each call, the sizes of parts, memory, and what is left behind."""

from __future__ import annotations

import gc
import random
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.stores.part_shelf import Busy, PartShelf, Refused, Server

from imageport import Context, Image, ImageData, ImageRecord, Location, NoConfig, StoreFailed
from imageport.errors import StepCrashed
from imageport.events import ProgressEvent
from imageport.stores import StoredObject, in_flight
from imageport.stores.part_upload import sizes
from imageport.testing import Bench, StoreConformance, Stream, bench, make_context
from imageport.testing.benches import RECORD

MIB = 1 << 20
NOISE = random.Random(11).randbytes(5 * MIB + 12345)


class Plugin(PartShelf):
    """The store of one test, with a separate server."""


@pytest.fixture(autouse=True)
def shelf(monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(in_flight, "DELAYS", (0, 0, 0))
    Plugin.server = Server()
    return Plugin.server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Bench]:
    with bench(Plugin, {}, tmp_path, is_store=True) as made:
        yield made


class TestPartStore(StoreConformance):
    plugin = Plugin
    large = 16 * MIB

    def traces(self, folder: Path) -> list[str]:
        return Plugin.server.traces


def failing(
    error: Exception, times: int = 1_000_000, then: Callable[[], None] = lambda: None
) -> Callable[[], None]:
    left = [times]

    def fault() -> None:
        if left[0]:
            left[0] -= 1
            raise error
        then()

    return fault


# ------------------------------------------------------------------------------------------------------ the parts


def test_parts_have_one_size_and_come_in_any_order(store: Bench, shelf: Server) -> None:
    copy = store.write(Stream(NOISE[:7], NOISE[7:MIB], NOISE[MIB:]).data())
    (upload,) = shelf.uploads.values()
    assert {number: len(part) for number, part in upload.parts.items()} == {
        **dict.fromkeys(range(1, 6), MIB),
        6: 12345,
    }
    copy.publish()
    assert store.read(copy.location) == NOISE


@pytest.mark.parametrize(("size", "expected"), [(None, MIB), (40 * MIB, MIB), (40 * MIB + 1, 2 * MIB)])
def test_parts_grow_for_a_large_image_of_known_size(size: int | None, expected: int) -> None:
    assert sizes(size, MIB, 3, 40) == (expected, 3)


def test_fewer_parts_are_in_flight_when_they_are_large() -> None:
    assert sizes(1 << 30, 16 * MIB, 4, 10_000) == (16 * MIB, 4)
    for size in (1 << 38, 1 << 40, 5 << 40):
        part_size, flight = sizes(size, 16 * MIB, 4, 10_000)
        assert size / part_size <= 10_000
        assert flight == 1 or (flight + 1) * part_size <= 256 * MIB


def test_an_image_of_unknown_size_with_too_many_parts_is_refused(store: Bench, shelf: Server) -> None:
    with pytest.raises(StoreFailed, match="more than 40 parts of 1 MiB") as caught:
        store.write(Stream(*[bytes(MIB)] * 41).data(with_size=False))
    assert caught.value.hint == "give the store a larger part_size"
    assert shelf.traces == []


def test_as_many_parts_as_allowed_are_sent_at_once(store: Bench, shelf: Server) -> None:
    all_there = threading.Barrier(3, timeout=60)
    shelf.faults["put"] = lambda: _count(all_there)
    store.write(Stream(*[bytes(MIB)] * 9).data()).discard()
    assert shelf.calls["put"] == 9


def _count(all_there: threading.Barrier) -> None:
    all_there.wait()


def test_memory_holds_the_parts_in_flight_and_one_more(store: Bench, shelf: Server) -> None:
    chunk = bytes(MIB)
    full = threading.Barrier(3, timeout=60)
    shelf.forgets = True
    shelf.faults["put"] = lambda: _count(full)
    gc.collect()
    tracemalloc.start()
    try:
        store.write(Stream(*[chunk] * 39).data()).discard()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert 3 * MIB < peak < 4.5 * MIB


def test_progress_counts_the_bytes_that_the_server_has_taken(store: Bench, shelf: Server) -> None:
    copy = store.write(Stream(NOISE).data())
    done = [event.done for event in store.events if isinstance(event, ProgressEvent)]
    assert done == sorted(done)
    assert done[-1] == len(NOISE)
    assert len(done) == 6
    copy.discard()


# ------------------------------------------------------------------------------------------------ faults of a call


@pytest.mark.parametrize("call", ["put", "complete", "abort", "head", "remove"])
def test_a_passing_error_is_not_seen(store: Bench, shelf: Server, call: str) -> None:
    shelf.faults[call] = failing(Busy("come back"), times=2)
    copy = store.write(Stream(NOISE).data())
    copy.publish()
    assert store.read(copy.location) == NOISE
    store.delete(copy.location)
    assert shelf.traces == []


@pytest.mark.parametrize("call", ["begin", "put", "complete"])
@pytest.mark.parametrize(
    "error", [Busy("come back"), Refused("not yours"), ConnectionResetError("reset")], ids=type
)
def test_an_error_that_stays_is_reported_and_leaves_nothing(
    store: Bench, shelf: Server, call: str, error: Exception
) -> None:
    shelf.faults[call] = failing(error)
    with pytest.raises(StoreFailed) as caught:
        store.write(Stream(NOISE).data()).publish()
    assert not isinstance(caught.value, StepCrashed)
    assert str(error) in caught.value.message
    assert "shelf://one/images/" in caught.value.message
    assert shelf.traces == []


@pytest.mark.parametrize("cleaning", ["abort", "head"])
def test_an_error_of_the_clean_up_does_not_hide_the_first(store: Bench, shelf: Server, cleaning: str) -> None:
    def put() -> None:
        shelf.faults[cleaning] = failing(Refused("the clean-up fails, too"))
        raise Refused("the first error")

    shelf.faults["put"] = put
    with pytest.raises(StoreFailed, match="the first error"):
        store.write(Stream(NOISE).data())
    shelf.faults.clear()
    store.delete(store.announced[-1])
    assert shelf.traces == []


def test_an_error_that_is_in_no_table_is_a_crash_and_leaves_nothing(store: Bench, shelf: Server) -> None:
    shelf.faults["put"] = failing(ZeroDivisionError("a defect"))
    with pytest.raises(StepCrashed, match="a defect"):
        store.write(Stream(NOISE).data())
    assert shelf.traces == []


def test_no_part_is_sent_after_an_error(store: Bench, shelf: Server) -> None:
    shelf.faults["put"] = failing(Refused("full"))
    with pytest.raises(StoreFailed, match="full"):
        store.write(Stream(*[bytes(MIB)] * 40).data())
    assert shelf.calls["put"] <= 2 * PartShelf.in_flight


# ------------------------------------------------------------------------------------------------- answers are lost


def test_an_upload_that_was_begun_without_an_answer_is_removed(store: Bench, shelf: Server) -> None:
    shelf.lost = {"begin"}
    with pytest.raises(StoreFailed, match="the answer is lost"):
        store.write(Stream(NOISE).data())
    assert shelf.calls["begin"] == 1
    assert shelf.traces == []


def test_an_upload_of_a_process_that_died_before_its_answer_is_removed(store: Bench, shelf: Server) -> None:
    shelf.lost = {"begin"}
    shelf.faults["abort"] = failing(Refused("the process is dead"))
    with pytest.raises(StoreFailed):
        store.write(Stream(NOISE).data())
    assert shelf.uploads
    shelf.faults.clear()
    other = store.write(Stream(NOISE).data())
    store.delete(store.announced[0])
    other.publish()
    assert len(shelf.traces) == 1


@pytest.mark.parametrize("call", ["put", "complete"])
def test_a_call_whose_answer_is_lost_counts_once(store: Bench, shelf: Server, call: str) -> None:
    shelf.lost = {call}
    copy = store.write(Stream(NOISE).data())
    copy.publish()
    assert store.read(copy.location) == NOISE
    assert len(shelf.traces) == 1


def test_a_copy_that_shows_although_publishing_has_failed_is_removed(store: Bench, shelf: Server) -> None:
    copy = store.write(Stream(NOISE).data())
    heads = [shelf.faults.setdefault("head", lambda: None)]

    def unreachable_after_complete() -> None:
        if shelf.calls["complete"] and len(heads) < 5:
            heads.append(heads[0])
            raise Busy("gone")

    shelf.faults["head"] = unreachable_after_complete
    with pytest.raises(StoreFailed, match="gone"):
        copy.publish()
    assert shelf.traces == []


# ------------------------------------------------------------------------------------- other bytes, other processes


def test_bytes_that_the_server_has_changed_are_not_published(store: Bench, shelf: Server) -> None:
    copy = store.write(Stream(NOISE).data())
    shelf.faults["head"] = lambda: _damage(shelf)
    with pytest.raises(StoreFailed, match="has other bytes"):
        copy.publish()
    assert shelf.traces == []


def test_a_digest_of_the_server_is_compared_with_that_of_the_image(tmp_path: Path, shelf: Server) -> None:
    class Digesting(Plugin):
        def head(self, key: str) -> StoredObject | None:
            found = super().head(key)
            return found and replace(found, digests={"md5": found.version, "sha1": "unknown to the import"})

    ctx = make_context(tmp_path, known_digests=lambda: {"md5": "0" * 32})
    data = ImageData.from_chunks(lambda: iter([NOISE]))
    with pytest.raises(StoreFailed, match="has other bytes"):
        Digesting(NoConfig()).store_write(Image(RECORD, data), ctx).publish()
    assert shelf.traces == []


def _damage(shelf: Server) -> None:
    for key, (token, content) in shelf.objects.items():
        shelf.objects[key] = (token, content[:-1] + b"?")


def test_an_object_of_another_program_is_neither_replaced_nor_removed(store: Bench, shelf: Server) -> None:
    copy = store.write(Stream(NOISE).data())
    key = f"images/{RECORD.id}"
    shelf.objects[key] = ("", b"theirs")
    with pytest.raises(StoreFailed, match="already there"):
        copy.publish()
    with pytest.raises(StoreFailed, match="already there"):
        store.write(Stream(NOISE).data())
    store.delete(copy.location)
    assert shelf.objects == {key: ("", b"theirs")}
    assert not shelf.uploads


def test_an_object_that_was_replaced_is_not_read(store: Bench, shelf: Server) -> None:
    copy = store.write(Stream(NOISE).data())
    copy.publish()
    shelf.objects[f"images/{RECORD.id}"] = ("", b"theirs")
    with pytest.raises(StoreFailed, match="was replaced after the import"):
        store.read(copy.location)


def test_a_location_of_another_place_is_refused(store: Bench, shelf: Server) -> None:
    for url in ("shelf://two/images/x", "file:///etc/passwd"):
        with pytest.raises(StoreFailed, match="is not in shelf://one/"):
            store.delete(Location(url=url, metadata={"mark": "1"}))
    assert not shelf.calls


# -------------------------------------------------------------------------------------------------- stat and list


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def test_published_copies_are_listed_and_described(store: Bench, shelf: Server, ctx: Context) -> None:
    plugin: Any = Plugin(NoConfig())
    copy = store.write(Stream(NOISE).data())
    assert plugin.store_stat(copy.location, ctx) is None
    assert list(plugin.store_list(ctx)) == []
    copy.publish()
    shelf.objects["images/other"] = ("", b"theirs")
    (listed,) = plugin.store_list(ctx)
    assert listed == plugin.store_stat(listed.location, ctx)
    assert (listed.location.url, listed.size) == (copy.location.url, len(NOISE))
    store.delete(listed.location)
    assert list(shelf.objects) == ["images/other"]


def test_names_with_odd_characters_come_back(store: Bench, shelf: Server, ctx: Context) -> None:
    copy = store.write(Stream(b"x").data(), ImageRecord(id="ä b%2F?#"))
    copy.publish()
    assert list(shelf.objects) == ["images/ä b%2F?#"]
    assert store.read(copy.location) == b"x"
    store.delete(copy.location)
    assert shelf.traces == []


def test_an_announcement_that_fails_leaves_no_upload(shelf: Server, tmp_path: Path) -> None:
    announced: list[Location] = []

    def announce(_: str, location: Location) -> None:
        announced.append(location)
        if "upload" in location.metadata:
            raise StoreFailed("the import was taken over")

    ctx = make_context(tmp_path, announce_location=announce)
    image = Image(RECORD, ImageData.from_chunks(lambda: iter([NOISE])))
    with pytest.raises(StoreFailed, match="taken over"):
        Plugin(NoConfig()).store_write(image, ctx)
    assert len(announced) == 2
    assert shelf.traces == []
