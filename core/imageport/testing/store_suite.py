"""The promises that every store keeps, as tests to inherit."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from imageport.data import ImageData
from imageport.dataplane.buffers import CHUNK_SIZE, ZERO_CHUNK, Chunk, Chunks
from imageport.errors import Cancelled, ImageportError, SourceUnavailable, StoreFailed
from imageport.events import ProgressEvent
from imageport.testing.benches import Bench
from imageport.testing.clauses import not_tried, refused, require
from imageport.testing.store_bench import NOISE, StoreTest, published, require_absent
from imageport.testing.store_faults import StoreFaults
from imageport.testing.store_reports import StoreReports
from imageport.testing.streams import Stream, joined, require_equal
from imageport.values import Location

_RANDOM = random.Random(8)
_OTHER = _RANDOM.randbytes(200_003)

#: The shapes in which the bytes of an image come.
IMAGES: Mapping[str, tuple[Chunk, ...]] = {
    "no bytes": (),
    "one byte": (b"x",),
    "chunks of odd sizes": (NOISE[:1], NOISE[1:70_000], NOISE[70_000:]),
    "empty chunks between": (b"", NOISE, b""),
    "zeros only": (bytes(3 << 20),),
    "zeros in the middle and at the end": (NOISE, ZERO_CHUNK, b"data", bytes(100_000)),
    "views of memory": (memoryview(bytearray(NOISE)).toreadonly(), memoryview(_OTHER)),
    "a whole chunk and a byte": (_RANDOM.randbytes(CHUNK_SIZE), b"x"),
}

#: Errors that the bytes of an image may raise.
ERRORS = [SourceUnavailable("the cable was cut"), Cancelled("the import was interrupted")]


class StoreConformance(StoreFaults, StoreReports):
    """Tests of a store that writes.

    Inherit from it, and name the plugin and its options::

        class TestShelf(StoreConformance):
            plugin = "shelf"
            options = {"directory": "images"}

    ``plugin`` is an installed name or a class. ``options`` are those under ``with:``; relative paths are in the folder
    of the test. A store that keeps its copies in another place than files below that folder overrides ``traces``.

    Three fixtures make further tests possible; without them, these are skipped. ``server`` returns the server of the
    store, as a :class:`StoreServer`, which is frozen and killed; :class:`ServerProcess` is one. ``fill`` returns a
    function that returns a context in which the store has no room. ``large`` bytes are written in a process whose
    memory is measured; ``memory`` is how many more it may use.
    """

    @pytest.mark.parametrize("with_size", [True, False], ids=["known size", "unknown size"])
    @pytest.mark.parametrize("shape", IMAGES)
    def test_a_copy_is_published_read_and_deleted(
        self, store: Bench, tmp_path: Path, shape: str, with_size: bool
    ) -> None:
        """Return the bytes as they came, zeros included, and remove all of a copy in store_delete."""
        source = self.image(store, *IMAGES[shape])
        copy = store.write(source.data(with_size=with_size))
        require(source.ended, "store_write returned before the last byte was read")
        require(
            copy.bytes_written == len(source.content),
            f"bytes_written is {copy.bytes_written} for {len(source.content)} bytes",
        )
        copy.publish()
        require_equal(store.read(copy.location), source.content)
        require_equal(store.read(copy.location), source.content)
        store.delete(copy.location)
        self.require_nothing_left(tmp_path)

    def test_the_size_of_a_copy_is_right_where_it_is_known(self, store: Bench) -> None:
        """Set the size of the data in store_read to the number of bytes of the image, or to None."""
        source = self.image(store, NOISE)
        copy = published(store, source)
        size = store.open(copy.location).size
        require(size in (None, len(source.content)), f"the size is {size} for {len(source.content)} bytes")

    def test_a_copy_cannot_be_read_before_it_is_published(self, store: Bench) -> None:
        """Write to a hidden name, and move the copy to its name in publish."""
        copy = store.write(self.image(store, NOISE).data())
        require_absent(store, copy.location)
        copy.discard()

    def test_a_discarded_copy_leaves_nothing(self, store: Bench, tmp_path: Path) -> None:
        """Remove everything in discard, under the hidden name too."""
        copy = store.write(self.image(store, NOISE).data())
        copy.discard()
        self.require_nothing_left(tmp_path)
        require_absent(store, copy.location)

    def test_a_copy_is_announced_before_its_first_byte_is_taken(self, store: Bench) -> None:
        """Call ctx.announce(location) before image.data is read."""
        announced: list[Location] = []
        content = self.image(store, NOISE).content

        def chunks() -> Chunks:
            announced.extend(store.announced)
            yield content

        store.write(ImageData.from_chunks(chunks, size=len(content))).discard()
        require(store.announced, "the store never calls ctx.announce")
        require(
            announced or store.capabilities.wants_file,
            "ctx.announce is called after the first byte was taken",
        )
        urls = {location.url for location in store.announced}
        require(len(urls) == 1, f"one copy was announced with several urls: {', '.join(sorted(urls))}")

    def test_what_was_announced_suffices_to_remove_the_copy_of_a_killed_import(
        self, store: Bench, tmp_path: Path
    ) -> None:
        """Put into the metadata of the announced location all that store_delete needs, also before publish."""
        for publishes in (False, True):
            copy = store.write(self.image(store, NOISE).data())
            if publishes:
                copy.publish()
            location = store.announced[-1]
            store.delete(Location(url=location.url, store="s", metadata=dict(location.metadata)))
            self.require_nothing_left(tmp_path)

    @pytest.mark.parametrize("error", ERRORS, ids=type)
    @pytest.mark.parametrize("before", [(), (NOISE,)], ids=["at once", "in the middle"])
    def test_an_error_of_the_source_passes_and_leaves_nothing(
        self, store: Bench, tmp_path: Path, before: tuple[Chunk, ...], error: ImageportError
    ) -> None:
        """Let errors of image.data pass as they are, and remove the incomplete copy."""
        source = Stream(*before, error=error)
        if isinstance(error, Cancelled):
            store.cancel()
        caught = refused(type(error), "store_write", lambda: store.write(source.data(with_size=False)))
        # The spool of a store that declares one notices first that the import is cancelled.
        spooled = store.capabilities.needs_size or store.capabilities.wants_file
        require(
            caught is error or (spooled and isinstance(error, Cancelled)),
            "the error of the source was replaced by another one",
        )
        require(source.closed, "the stream of the image was left open")
        self.require_nothing_left(tmp_path)
        for location in store.announced:
            store.delete(location)

    def test_a_copy_that_another_process_has_removed_cannot_be_published(
        self, store: Bench, tmp_path: Path
    ) -> None:
        """Raise StoreFailed in publish when the hidden copy is gone."""
        copy = store.write(self.image(store, NOISE).data())
        store.delete(copy.location)
        refused(StoreFailed, "publish of a copy that was removed", copy.publish)
        self.require_nothing_left(tmp_path)

    def test_an_attempt_that_was_given_up_leaves_the_next_one_alone(
        self, store: Bench, tmp_path: Path
    ) -> None:
        """Put ctx.copy_token into the hidden name and the metadata, and remove only what carries it."""
        second_image = self.image(store, _OTHER)
        first = store.write(self.image(store, NOISE).data())
        second = store.write(second_image.data())
        store.delete(first.location)
        second.publish()
        refused(StoreFailed, "publish of an attempt that was given up", first.publish)
        store.delete(first.location)
        require_equal(store.read(second.location), second_image.content)
        store.delete(second.location)
        self.require_nothing_left(tmp_path)

    def test_a_published_copy_is_not_replaced(self, store: Bench, tmp_path: Path) -> None:
        """Refuse a name that is taken with StoreFailed, in store_write or in publish."""
        first = self.image(store, NOISE)
        copy = published(store, first)
        refused(
            StoreFailed,
            "a second copy with the name of the first",
            lambda: store.write(self.image(store, _OTHER).data()).publish(),
        )
        require_equal(store.read(copy.location), first.content)
        store.delete(copy.location)
        self.require_nothing_left(tmp_path)

    def test_a_copy_that_is_gone_can_be_deleted_and_not_read(self, store: Bench) -> None:
        """Return from store_delete when there is no copy, and raise StoreFailed with a hint in store_read."""
        copy = published(store, self.image(store, NOISE))
        store.delete(copy.location)
        store.delete(copy.location)
        require_absent(store, copy.location)

    def test_a_location_is_a_url_and_texts(self, store: Bench) -> None:
        """Give the location a url with a scheme, and metadata of texts only."""
        location = published(store, self.image(store, NOISE)).location
        require(":" in location.url, f"the url {location.url} has no scheme")
        texts = [text for pair in location.metadata.items() for text in pair]
        require(all(isinstance(text, str) for text in texts), "the metadata has a value that is not a text")
        require(location.url == store.announced[-1].url, "the copy has another url than the announced one")

    def test_progress_is_that_of_the_image(self, store: Bench) -> None:
        """Report with ctx.progress how many bytes of the image the store has, never fewer than before."""
        source = self.image(store, NOISE)
        published(store, source)
        others = [event.kind for event in store.events if not isinstance(event, ProgressEvent)]
        require(not others, f"the store sent events that are not its progress: {', '.join(others)}")
        done = [event.done for event in store.events if isinstance(event, ProgressEvent)]
        require(
            all(0 <= one <= len(source.content) for one in done), f"progress of {max(done, default=0)} bytes"
        )
        require(all(before <= after for before, after in pairwise(done)), "progress went back")

    def test_standard_output_stays_free(self, store: Bench, capfd: pytest.CaptureFixture[str]) -> None:
        """Send messages to ctx.log: standard output belongs to the report of an import."""
        store.delete(published(store, self.image(store, NOISE)).location)
        printed = capfd.readouterr().out
        require(not printed, f"the store printed {printed[:80]!r}")


class ReadOnlyStoreConformance(StoreTest):
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

    @pytest.fixture
    def place(self) -> Callable[[bytes | None], Location]:
        """Return a function that makes a copy of some bytes, or of none for None, and returns where that is."""
        not_tried("there is no copy to read (fixture 'place')")

    @pytest.mark.parametrize("shape", IMAGES)
    def test_a_copy_is_read(self, store: Bench, place: Any, shape: str) -> None:
        """Return all bytes of the copy from store_read."""
        whole = joined(IMAGES[shape])
        require_equal(store.read(place(whole)), whole)

    def test_the_size_of_a_copy_is_right_where_it_is_known(self, store: Bench, place: Any) -> None:
        """Set the size of the data in store_read to the number of bytes of the image, or to None."""
        data = store.open(place(NOISE))
        require(data.size in (None, len(NOISE)), f"the size is {data.size} for {len(NOISE)} bytes")
        require_equal(store.bytes_of(data), NOISE)

    def test_a_copy_that_is_not_there_is_a_failure_of_the_store(self, store: Bench, place: Any) -> None:
        """Raise StoreFailed with a hint in store_read."""
        require_absent(store, place(None))

    def test_nothing_is_written(self, store: Bench) -> None:
        """Leave out store_delete in a store that does not write."""
        found = {"store_write", "store_delete"} & store.hooks
        require(not found, f"a store that only reads has {', '.join(sorted(found))}")
