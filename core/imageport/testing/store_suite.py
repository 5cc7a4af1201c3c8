"""The promises that every store keeps, as tests to inherit."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import pytest

from imageport.data import ImageData
from imageport.dataplane.buffers import CHUNK_SIZE, ZERO_CHUNK, Chunk, Chunks
from imageport.errors import Cancelled, SourceUnavailable, StepCrashed, StoreFailed
from imageport.events import ProgressEvent
from imageport.plugin import Plugin
from imageport.testing.benches import Bench, Stream, bench, files_below, joined, require_equal
from imageport.values import Location, PendingCopy

_RANDOM = random.Random(7)
_NOISE = _RANDOM.randbytes(300_001)
_OTHER = _RANDOM.randbytes(200_003)

#: The shapes in which the bytes of an image come.
IMAGES: Mapping[str, tuple[Chunk, ...]] = {
    "no bytes": (),
    "one byte": (b"x",),
    "chunks of odd sizes": (_NOISE[:1], _NOISE[1:70_000], _NOISE[70_000:]),
    "empty chunks between": (b"", _NOISE, b""),
    "zeros only": (bytes(3 << 20),),
    "zeros in the middle and at the end": (_NOISE, ZERO_CHUNK, b"data", bytes(100_000)),
    "views of memory": (memoryview(bytearray(_NOISE)).toreadonly(), memoryview(_OTHER)),
    "a whole chunk and a byte": (_RANDOM.randbytes(CHUNK_SIZE), b"x"),
}


class StoreConformance:
    """Tests of a store that writes.

    Inherit from it, and name the plugin and its options::

        class TestShelf(StoreConformance):
            plugin = "shelf"
            options = {"directory": "images"}

    ``plugin`` is an installed name or a class. ``options`` are those under ``with:``; relative paths are in the folder
    of the test. A store that keeps its copies in another place than files below that folder overrides ``traces``.
    """

    plugin: ClassVar[str | type[Plugin[Any]]]
    options: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Bench]:
        """Return the store, as an import calls it."""
        with bench(self.plugin, self.options, tmp_path, is_store=True) as made:
            yield made

    def traces(self, folder: Path) -> list[str]:
        """Return the names of everything that the store keeps, hidden or not; *folder* is that of the test."""
        return files_below(folder)

    @pytest.mark.parametrize("with_size", [True, False], ids=["known size", "unknown size"])
    @pytest.mark.parametrize("shape", IMAGES)
    def test_a_copy_is_published_read_and_deleted(
        self, store: Bench, tmp_path: Path, shape: str, with_size: bool
    ) -> None:
        chunks = IMAGES[shape]
        whole = joined(chunks)
        source = Stream(*chunks)
        copy = store.write(source.data(with_size=with_size))
        assert copy.bytes_written == len(whole)
        assert source.ended
        _in_another_thread(copy.publish)
        require_equal(store.read(copy.location), whole)
        require_equal(store.read(copy.location), whole)
        store.delete(copy.location)
        assert self.traces(tmp_path) == []

    def test_the_size_of_a_copy_is_right_where_it_is_known(self, store: Bench) -> None:
        copy = _published(store, _NOISE)
        assert store.open(copy.location).size in (None, len(_NOISE))

    def test_a_copy_cannot_be_read_before_it_is_published(self, store: Bench) -> None:
        copy = store.write(Stream(_NOISE).data())
        _assert_absent(store, copy.location)
        copy.discard()

    def test_a_discarded_copy_leaves_nothing(self, store: Bench, tmp_path: Path) -> None:
        copy = store.write(Stream(_NOISE).data())
        _in_another_thread(copy.discard)
        assert self.traces(tmp_path) == []
        _assert_absent(store, copy.location)

    def test_a_copy_is_announced_before_its_first_byte_is_taken(self, store: Bench) -> None:
        announced: list[Location] = []

        def chunks() -> Chunks:
            announced.extend(store.announced)
            yield _NOISE

        copy = store.write(ImageData.from_chunks(chunks))
        copy.discard()
        assert announced
        assert announced[0].url == copy.location.url

    def test_what_was_announced_suffices_to_remove_the_copy_of_a_killed_import(
        self, store: Bench, tmp_path: Path
    ) -> None:
        for publishes in (False, True):
            copy = store.write(Stream(_NOISE).data())
            if publishes:
                copy.publish()
            location = store.announced[-1]
            store.delete(Location(url=location.url, store="s", metadata=dict(location.metadata)))
            assert self.traces(tmp_path) == []

    @pytest.mark.parametrize(
        "error", [SourceUnavailable("the cable was cut"), Cancelled("the import was interrupted")], ids=type
    )
    @pytest.mark.parametrize("before", [(), (_NOISE,)], ids=["at once", "in the middle"])
    def test_an_error_of_the_source_passes_and_leaves_nothing(
        self, store: Bench, tmp_path: Path, before: tuple[Chunk, ...], error: Exception
    ) -> None:
        source = Stream(*before, error=error)
        if isinstance(error, Cancelled):
            store.cancel()
        with pytest.raises(type(error)) as caught:
            store.write(source.data(with_size=False))
        assert caught.value is error
        assert source.closed
        assert self.traces(tmp_path) == []
        for location in store.announced:
            store.delete(location)

    def test_a_copy_that_another_process_has_removed_cannot_be_published(
        self, store: Bench, tmp_path: Path
    ) -> None:
        copy = store.write(Stream(_NOISE).data())
        store.delete(copy.location)
        with pytest.raises(StoreFailed):
            copy.publish()
        assert self.traces(tmp_path) == []

    def test_an_attempt_that_was_given_up_leaves_the_next_one_alone(
        self, store: Bench, tmp_path: Path
    ) -> None:
        first = store.write(Stream(_NOISE).data())
        second = store.write(Stream(_OTHER).data())
        store.delete(first.location)
        second.publish()
        with pytest.raises(StoreFailed):
            first.publish()
        store.delete(first.location)
        require_equal(store.read(second.location), _OTHER)
        store.delete(second.location)
        assert self.traces(tmp_path) == []

    def test_a_published_copy_is_not_replaced(self, store: Bench, tmp_path: Path) -> None:
        copy = _published(store, _NOISE)
        with pytest.raises(StoreFailed):
            store.write(Stream(_OTHER).data()).publish()
        require_equal(store.read(copy.location), _NOISE)
        store.delete(copy.location)
        assert self.traces(tmp_path) == []

    def test_a_copy_that_is_gone_can_be_deleted_and_not_read(self, store: Bench) -> None:
        copy = _published(store, _NOISE)
        store.delete(copy.location)
        store.delete(copy.location)
        _assert_absent(store, copy.location)

    def test_a_location_is_a_url_and_texts(self, store: Bench) -> None:
        location = _published(store, _NOISE).location
        assert ":" in location.url
        assert all(isinstance(text, str) for pair in location.metadata.items() for text in pair)
        assert location == store.announced[-1]

    def test_progress_is_that_of_the_image(self, store: Bench) -> None:
        _published(store, _NOISE)
        assert all(isinstance(event, ProgressEvent) for event in store.events)
        done = [event.done for event in store.events if isinstance(event, ProgressEvent)]
        assert all(0 <= one <= len(_NOISE) for one in done)
        assert all(before <= after for before, after in pairwise(done))

    def test_standard_output_stays_free(self, store: Bench, capfd: pytest.CaptureFixture[str]) -> None:
        store.delete(_published(store, _NOISE).location)
        assert capfd.readouterr().out == ""


class ReadOnlyStoreConformance:
    """Tests of a store that only reads.

    Inherit from it, name the plugin, and write the fixture ``place``::

        class TestMirror(ReadOnlyStoreConformance):
            plugin = "mirror"

            @pytest.fixture
            def place(self, http_server):
                return lambda content: Location(url=http_server.publish("/copy", content))

    ``place`` returns a function that makes a copy of some bytes, or of nothing when it gets None, and returns where
    that is. Each call makes another copy.
    """

    plugin: ClassVar[str | type[Plugin[Any]]]
    options: ClassVar[Mapping[str, Any]] = {}

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Bench]:
        """Return the store, as an import calls it."""
        with bench(self.plugin, self.options, tmp_path, is_store=True) as made:
            yield made

    @pytest.mark.parametrize("shape", IMAGES)
    def test_a_copy_is_read(self, store: Bench, place: Any, shape: str) -> None:
        whole = joined(IMAGES[shape])
        require_equal(store.read(place(whole)), whole)

    def test_the_size_of_a_copy_is_right_where_it_is_known(self, store: Bench, place: Any) -> None:
        data = store.open(place(_NOISE))
        assert data.size in (None, len(_NOISE))
        require_equal(joined(data.chunks()), _NOISE)

    def test_a_copy_that_is_not_there_is_a_failure_of_the_store(self, store: Bench, place: Any) -> None:
        _assert_absent(store, place(None))

    def test_nothing_is_written(self, store: Bench) -> None:
        assert not {"store_write", "store_delete"} & store.hooks


def _published(store: Bench, content: bytes) -> PendingCopy:
    copy = store.write(Stream(content).data())
    copy.publish()
    return copy


def _assert_absent(store: Bench, location: Location) -> None:
    with pytest.raises(StoreFailed) as caught:
        store.read(location)
    assert not isinstance(caught.value, StepCrashed)
    assert caught.value.hint


def _in_another_thread(end: Any) -> None:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            end()
        except BaseException as error:  # noqa: BLE001 - raised again below
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    for error in raised:
        raise error
