"""Faults under which a store keeps its promises: servers that stop, stores without room, processes that are killed."""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

import pytest

from imageport.data import ImageData
from imageport.dataplane.buffers import ZERO_CHUNK, Chunks
from imageport.errors import ImageportError, SourceUnavailable, StoreFailed
from imageport.stores.store import Store
from imageport.testing.apart import killed, peak_growth
from imageport.testing.benches import Bench, bench
from imageport.testing.clauses import not_tried, refused, require
from imageport.testing.plugin_suite import secrets_of
from imageport.testing.store_bench import NOISE, StoreServer, StoreTest, published
from imageport.testing.streams import Stream, require_equal
from imageport.values import Location

#: Bytes that may wait in buffers of a client and of the system before a write to a frozen server waits, too.
_MORE_THAN_BUFFERS = 96 << 20


class StoreFaults(StoreTest):
    """Tests of a store that writes, under faults."""

    #: Bytes of the image that is written in a process whose memory is measured; a quarter of them are zeros.
    large: ClassVar[int] = 400 << 20

    #: Bytes by which the memory of that process may grow: with interpreter and modules, it has 300 MiB.
    memory: ClassVar[int] = 220 << 20

    # ------------------------------------------------------------------------------------------- the server stops

    def test_a_write_to_a_frozen_server_fails(
        self, store: Bench, server: StoreServer | None, tmp_path: Path
    ) -> None:
        """Set the time-outs of the client to those of ctx.client, and raise StoreFailed when they pass."""
        with _frozen(server) as freeze:
            source = _until(freeze)
            refused(StoreFailed, "store_write to a frozen server", lambda: store.write(source))
        self.require_removable(store, tmp_path)

    def test_publish_on_a_frozen_server_fails(
        self, store: Bench, server: StoreServer | None, tmp_path: Path
    ) -> None:
        """Set the time-outs of the client, and raise StoreFailed in publish when they pass."""
        with _frozen(server) as freeze:
            copy = store.write(self.image(store, NOISE).data())
            freeze()
            refused(StoreFailed, "publish on a frozen server", copy.publish)
        self.require_removable(store, tmp_path)

    def test_discard_on_a_frozen_server_fails(
        self, store: Bench, server: StoreServer | None, tmp_path: Path
    ) -> None:
        """Set the time-outs of the client, and raise StoreFailed in discard when something may be left."""
        with _frozen(server) as freeze:
            copy = store.write(self.image(store, NOISE).data())
            freeze()
            refused(StoreFailed, "discard on a frozen server", copy.discard)
        self.require_removable(store, tmp_path)

    def test_a_removal_on_a_frozen_server_fails(
        self, store: Bench, server: StoreServer | None, tmp_path: Path
    ) -> None:
        """Set the time-outs of the client, and raise StoreFailed in store_delete when the copy may be there."""
        with _frozen(server) as freeze:
            copy = published(store, self.image(store, NOISE))
            freeze()
            refused(StoreFailed, "store_delete on a frozen server", lambda: store.delete(copy.location))
        self.require_removable(store, tmp_path)

    def test_a_clean_up_that_fails_does_not_hide_the_first_error(
        self, store: Bench, server: StoreServer | None, tmp_path: Path
    ) -> None:
        """Keep the error that came first; log those of the clean-up."""
        error = SourceUnavailable("the cable was cut")
        fault = _frozen(server) if server is not None else _failing_discard(store)
        with fault as begin:

            def chunks() -> Chunks:
                yield NOISE
                begin()
                raise error

            caught = refused(
                SourceUnavailable, "store_write", lambda: store.write(ImageData.from_chunks(chunks))
            )
        require(caught is error, "the error of the source was replaced by another one")
        self.require_removable(store, tmp_path)

    def test_a_server_that_dies_in_mid_write_is_a_failure_of_the_store(
        self, store: Bench, server: Any, tmp_path: Path
    ) -> None:
        """Raise StoreFailed for errors of the connection; list them in the table of errors of the store."""
        if not (hasattr(server, "kill") and hasattr(server, "start")):
            not_tried("there is no server to kill and start again (fixture 'server')")
        try:
            refused(StoreFailed, "store_write to a dead server", lambda: store.write(_until(server.kill)))
        finally:
            server.start()
        self.require_removable(store, tmp_path)

    # ---------------------------------------------------------------------------------------- the store has no room

    def test_a_full_store_is_a_failure_with_a_hint(
        self, store: Bench, fill: Callable[[], AbstractContextManager[object]] | None, tmp_path: Path
    ) -> None:
        """Raise StoreFailed with a hint about how to make room, and remove the incomplete copy."""
        if fill is None:
            not_tried("there is no way to fill the store (fixture 'fill')")
        with fill():
            source = self.image(store, NOISE)
            error = refused(
                StoreFailed, "a copy in a full store", lambda: store.write(source.data()).publish()
            )
            require(error.hint != StoreFailed.advice, "the error of a full store has no hint")
        self.require_removable(store, tmp_path)

    # -------------------------------------------------------------------------------------------- the process dies

    def test_an_import_that_is_killed_does_not_keep_the_next_one_from_writing(
        self, store: Bench, tmp_path: Path
    ) -> None:
        """Give each attempt a hidden name with ctx.copy_token, and take no lock that outlives the process."""
        if store.capabilities.wants_file:
            not_tried("the store reads a file, in the middle of which no process is killed")
        pieces = self.image(store, NOISE, NOISE).content

        def write(report: Callable[[Any], None]) -> None:
            with bench(self.plugin, self.options, tmp_path, is_store=True, patience=self.patience) as doomed:

                def chunks() -> Chunks:
                    yield pieces
                    report([(location.url, dict(location.metadata)) for location in doomed.announced])

                doomed.write(ImageData.from_chunks(chunks, size=2 * len(pieces)))

        announced = killed(write, self.patience)
        source = self.image(store, NOISE)
        copy = published(store, source)
        require_equal(store.read(copy.location), source.content)
        for url, metadata in announced:
            self.remove(store, Location(url=url, store="s", metadata=metadata))
        require_equal(store.read(copy.location), source.content)
        self.require_removable(store, tmp_path)

    def test_memory_does_not_grow_with_the_image(self, store: Bench, tmp_path: Path) -> None:
        """Write the chunks as they come, and have only a few of them in flight."""
        count = self.large // len(ZERO_CHUNK)

        def chunks() -> Chunks:
            noise = random.Random(9).randbytes(len(ZERO_CHUNK) - 8)
            for number in range(count):
                yield ZERO_CHUNK if number % 4 == 3 else noise + number.to_bytes(8)

        def write() -> None:
            with bench(
                self.plugin, self.options, tmp_path, is_store=True, patience=self.patience * 4
            ) as other:
                other.write(ImageData.from_chunks(chunks, size=count * len(ZERO_CHUNK))).discard()

        growth = peak_growth(write, self.patience * 4)
        require(
            growth <= self.memory,
            f"the process grew by {growth >> 20} MiB while it wrote {self.large >> 20} MiB",
        )
        self.require_nothing_left(tmp_path)

    # --------------------------------------------------------------------------------------------------- secrets

    def test_no_secret_is_in_errors_locations_or_events(
        self, store: Bench, server: StoreServer | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Take the values of secret options out of messages of libraries, and out of urls and metadata."""
        secrets = secrets_of(store.plugin.config)
        if not secrets:
            not_tried("no option that is set is a pydantic.SecretStr")
        copy = published(store, self.image(store, NOISE))
        store.delete(copy.location)
        attempts: list[Callable[[], object]] = [
            lambda: store.read(copy.location),
            lambda: store.delete(Location(url="nowhere:at/all", metadata={"mark": "1"})),
            lambda: store.read(Location(url="nowhere:at/all")),
            lambda: store.write(Stream(NOISE, error=SourceUnavailable("the cable was cut")).data()),
        ]
        for attempt in attempts:
            with suppress(ImageportError):
                attempt()
        if server is not None:
            with _frozen(server) as freeze, suppress(ImageportError):
                store.write(_until(freeze))
            self.require_removable(store, tmp_path)
        shown = [*map(_texts, store.errors), repr(store.announced), repr(store.events), caplog.text]
        for secret in secrets:
            require(
                not any(secret in text for text in shown),
                "a secret option is in an error, a location or a log",
            )


@contextmanager
def _frozen(server: StoreServer | None) -> Iterator[Callable[[], None]]:
    """Yield the function that freezes *server*, which goes on at the end."""
    if server is None:
        not_tried("there is no server to freeze (--server-pid, or the fixture 'server')")
    try:
        yield server.freeze
    finally:
        server.thaw()


@contextmanager
def _failing_discard(store: Bench) -> Iterator[Callable[[], None]]:
    """Let ``discard`` of a store on a base of Imageport fail, after it has done its work."""
    if not isinstance(store.plugin, Store):
        not_tried("there is no server to freeze (fixture 'server'), and the store is on no base")
    plugin: Any = store.plugin
    discard = plugin.discard

    def failing(copy: object) -> None:
        discard(copy)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    plugin.discard = failing
    try:
        yield lambda: None
    finally:
        del plugin.discard


def _until(fault: Callable[[], None]) -> ImageData:
    """Return the bytes of an image; *fault* comes after the first ones."""

    def chunks() -> Chunks:
        yield NOISE
        fault()
        for number in range(_MORE_THAN_BUFFERS // len(NOISE)):
            yield NOISE[8:] + number.to_bytes(8)

    return ImageData.from_chunks(chunks)


def _texts(error: BaseException | None) -> str:
    """Return the texts of *error* and its causes, which a log may show."""
    if error is None:
        return ""
    hint = error.hint if isinstance(error, ImageportError) else ""
    return f"{error!r} {error} {hint} {_texts(error.__cause__ or error.__context__)}"
