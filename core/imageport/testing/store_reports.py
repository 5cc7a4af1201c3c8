"""Reports of a store about its copies, and facts that it declares, compared with what it does."""

from __future__ import annotations

import hashlib
from pathlib import Path

from imageport.dataplane.buffers import CHUNK_SIZE, ZERO_CHUNK
from imageport.errors import StoreFailed
from imageport.testing.benches import DIGESTS, RECORD, Bench, BenchCopy
from imageport.testing.clauses import capability, not_tried, refused, require
from imageport.testing.store_bench import NOISE, StoreTest, published
from imageport.testing.streams import Stream, require_equal
from imageport.values import StoredCopy

#: Formats that an image may have when its store declares none.
DISK_FORMATS = ("iso", "qcow2", "raw", "vdi", "vhd", "vhdx", "vmdk")


class StoreReports(StoreTest):
    """Tests of the reports and the declared capabilities of a store."""

    # ------------------------------------------------------------------------------- what the store itself reports

    def test_the_store_reports_what_was_written(self, store: Bench) -> None:
        """Return from store_stat the size and the digests of the published copy, and None where there is none."""
        _require_hook(store, "store_stat")
        source = self.image(store, NOISE)
        copy = store.write(source.data())
        require(store.stat(copy.location) is None, "store_stat found a copy that is not published")
        copy.publish()
        found = store.stat(copy.location)
        require(found is not None, "store_stat does not find the published copy")
        _require_true(found, copy, source)
        store.delete(copy.location)
        require(store.stat(copy.location) is None, "store_stat found a copy that was deleted")

    def test_the_store_lists_its_published_copies(self, store: Bench, tmp_path: Path) -> None:
        """List every published copy that carries the mark, with a location that suffices for store_delete."""
        _require_hook(store, "store_list")
        source = self.image(store, NOISE)
        copy = store.write(source.data())
        require(copy.location.url not in _urls(store), "store_list shows a copy that is not published")
        copy.publish()
        found = [listed for listed in store.list() if listed.location.url == copy.location.url]
        require(len(found) == 1, f"store_list shows the published copy {len(found)} times")
        _require_true(found[0], copy, source)
        store.delete(found[0].location)
        require(copy.location.url not in _urls(store), "store_list shows a copy that was deleted")
        self.require_nothing_left(tmp_path)

    def test_a_copy_that_the_server_has_with_another_digest_is_not_published(
        self, store: Bench, tmp_path: Path
    ) -> None:
        """Compare the digest that the server has computed with ctx.digests() in publish."""
        _require_hook(store, "store_stat")
        source = self.image(store, NOISE)
        copy = published(store, source)
        found = store.stat(copy.location)
        common = set(found.digests if found else ()) & set(DIGESTS)
        store.delete(copy.location)
        if not common:
            not_tried("store_stat gives no digest that could be compared")
        copy = store.write(source.data())
        store.digests = {name: "0" * len(digest) for name, digest in store.digests.items()}
        refused(StoreFailed, "publish of a copy with another digest", copy.publish)
        self.require_removable(store, tmp_path)

    # --------------------------------------------------------------------------------------- declared capabilities

    @capability("needs_size")
    def test_a_size_is_known_where_the_store_needs_it(self, store: Bench) -> None:
        """Declare capabilities.needs_size for a store that does not take streams of unknown length."""
        source = self.image(store, NOISE)
        copy = store.write(source.data(with_size=False))
        copy.publish()
        require_equal(store.read(copy.location), source.content)

    @capability("alignment")
    def test_an_image_of_the_declared_alignment_is_taken(self, store: Bench) -> None:
        """Declare in capabilities.alignment of how many bytes the size has to be a multiple."""
        source = Stream(NOISE[: store.capabilities.alignment].ljust(store.capabilities.alignment, b"\0"))
        require_equal(store.read(published(store, source).location), source.content)

    @capability("largest")
    def test_the_largest_image_is_a_possible_one(self, store: Bench) -> None:
        """Declare in capabilities.largest the size in bytes of the largest image."""
        largest = store.capabilities.largest
        if largest is None:
            not_tried("the store does not declare it")
        require(largest > 0 and largest % store.capabilities.alignment == 0, f"no image has {largest} bytes")

    @capability("unwritten_is_zero")
    def test_zeros_are_read_as_zeros(self, store: Bench) -> None:
        """Write zeros where unwritten ranges may hold other bytes."""
        source = self.image(store, ZERO_CHUNK, NOISE, ZERO_CHUNK)
        require_equal(store.read(published(store, source).location), source.content)

    @capability("wants_file")
    def test_a_file_is_given_where_the_store_wants_one(self, store: Bench) -> None:
        """Declare capabilities.wants_file for a store that reads the image from image.data.backing_file."""
        if not store.capabilities.wants_file:
            not_tried("the store does not declare it")
        source = self.image(store, NOISE)
        require_equal(store.read(published(store, source).location), source.content)

    @capability("formats")
    def test_every_declared_format_is_taken(self, store: Bench) -> None:
        """Declare in capabilities.formats which formats the store takes, and refuse none of them."""
        if store.capabilities.formats is None:
            not_tried("the store does not declare it")
        for disk_format in sorted(store.capabilities.formats):
            source = self.image(store, NOISE)
            copy = store.write(source.data(), RECORD.evolve(disk_format=disk_format))
            copy.publish()
            require_equal(store.read(copy.location), source.content)
            store.delete(copy.location)

    @capability("seekable")
    def test_a_copy_can_be_read_again_and_again(self, store: Bench) -> None:
        """Return data of a file from store_read, or leave capabilities.seekable as it is."""
        if not store.capabilities.seekable:
            not_tried("the store does not declare it")
        source = self.image(store, NOISE)
        data = store.open(published(store, source).location)
        require(data.path is not None, "store_read returned a stream, which cannot be read from any offset")
        for _ in range(2):
            require_equal(store.bytes_of(data), source.content)

    @capability("keeps_holes")
    def test_zeros_take_no_room(self, store: Bench) -> None:
        """Leave out ranges of zeros when the copy is written, or leave capabilities.keeps_holes as it is."""
        if not store.capabilities.keeps_holes:
            not_tried("the store does not declare it")
        data = store.open(published(store, self.image(store, NOISE, *[ZERO_CHUNK] * 8)).location)
        if data.path is None:
            not_tried("the copy is not a file, whose room can be measured")
        room = data.path.stat().st_blocks * 512
        require(room < 8 * CHUNK_SIZE, f"{room} bytes are taken for {len(NOISE)} bytes of data")


def _urls(store: Bench) -> set[str]:
    return {copy.location.url for copy in store.list()}


def _require_hook(store: Bench, hook: str) -> None:
    if hook not in store.hooks:
        not_tried(f"the store has no hook {hook}")


def _require_true(found: StoredCopy | None, copy: BenchCopy, source: Stream) -> None:
    """Require that *found* describes the *copy* of *source*."""
    assert found is not None
    content = source.content
    require(found.location.url == copy.location.url, f"the store reports {found.location.url}")
    require(found.size in (None, len(content)), f"the store reports {found.size} of {len(content)} bytes")
    for algorithm, digest in found.digests.items():
        expected = hashlib.new(algorithm, content).hexdigest()
        require(digest == expected, f"the store reports the {algorithm} {digest}, which is {expected}")
