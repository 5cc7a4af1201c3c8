"""Reports of a store about its copies, and facts that it declares, compared with what it does."""

from __future__ import annotations

import hashlib
from pathlib import Path

from imageport.dataplane.buffers import CHUNK_SIZE, ZERO_CHUNK
from imageport.testing.benches import RECORD, Bench, BenchCopy, Stream, require_equal
from imageport.testing.clauses import capability, not_tried, require
from imageport.testing.store_bench import NOISE, StoreTest, published
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

    # --------------------------------------------------------------------------------------- declared capabilities

    @capability("formats")
    def test_every_declared_format_is_taken(self, store: Bench) -> None:
        """Declare in capabilities.formats which formats the store takes, and refuse none of them."""
        for disk_format in sorted(store.capabilities.formats or DISK_FORMATS):
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
