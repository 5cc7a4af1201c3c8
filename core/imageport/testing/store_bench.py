"""The common ground of tests of a store: fixtures, images, and the search for what is left behind."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Protocol

import pytest

from imageport.dataplane.buffers import Chunk
from imageport.errors import ImageportError, StepCrashed, StoreFailed
from imageport.testing.benches import Bench, BenchCopy
from imageport.testing.clauses import BrokenClause, refused, require
from imageport.testing.plugin_suite import PluginConformance
from imageport.testing.streams import Stream, files_below
from imageport.values import Location

#: Bytes of an image that do not shrink.
NOISE = random.Random(7).randbytes(300_001)

#: Seconds after which a server that was frozen has forgotten its clients.
_RECOVERY = 45.0


class StoreServer(Protocol):
    """The server of a store, for tests. ``kill`` and ``start`` may be missing: then it is not killed."""

    def freeze(self) -> None:
        """Stop the server so that its connections stay open and nothing is answered."""

    def thaw(self) -> None:
        """Let the server go on."""


class ServerProcess:
    """The server of a store that is made of the processes *pids*, which SIGSTOP freezes."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids

    def freeze(self) -> None:
        """Stop all processes."""
        for pid in self._pids:
            os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue all processes."""
        for pid in self._pids:
            os.kill(pid, signal.SIGCONT)


class StoreTest(PluginConformance):
    """The fixtures and tools of tests of a store."""

    role = "store"
    _is_store = True

    @pytest.fixture
    def store(self, under_test: Bench) -> Iterator[Bench]:
        """Return the store, as an import calls it; the copies of a test are removed after it."""
        yield under_test
        for location in under_test.announced:
            with suppress(ImageportError, BrokenClause):
                under_test.delete(location)

    @pytest.fixture
    def server(self) -> StoreServer | None:
        """Return the server of the store, or None when none can be frozen."""
        return None

    @pytest.fixture
    def fill(self) -> Callable[[], AbstractContextManager[object]] | None:
        """Return a function that returns a context in which the store has no room, or None."""
        return None

    def traces(self, folder: Path) -> list[str]:
        """Return the names of everything that the store keeps, hidden or not; *folder* is that of the test."""
        return files_below(folder)

    def require_nothing_left(self, folder: Path) -> None:
        """Require that the store keeps nothing."""
        left = [name for name in self.traces(folder) if not name.startswith("work/")]
        require(not left, f"this is left in the store: {', '.join(left[:5])}")

    def image(self, store: Bench, *chunks: Chunk) -> Stream:
        """Return a stream of *chunks* that has the alignment that the store declares."""
        excess = sum(map(len, chunks)) % store.capabilities.alignment
        return Stream(*chunks, bytes(store.capabilities.alignment - excess)) if excess else Stream(*chunks)

    def require_removable(self, store: Bench, folder: Path) -> None:
        """Require that what was announced is gone once ``store_delete`` was called, as ``gc`` calls it."""
        deadline = time.monotonic() + _RECOVERY
        while True:
            for location in store.announced:
                self.remove(store, location)
            if not self.traces(folder) or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        self.require_nothing_left(folder)

    def remove(self, store: Bench, location: Location) -> None:
        """Remove what is at *location*; a server that was frozen may need time for it."""
        deadline = time.monotonic() + _RECOVERY
        while True:
            try:
                return store.delete(location)
            except StoreFailed:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)


def published(store: Bench, source: Stream) -> BenchCopy:
    """Return the published copy of *source*."""
    copy = store.write(source.data())
    copy.publish()
    return copy


def require_absent(store: Bench, location: Location) -> None:
    error = refused(StoreFailed, "store_read of a copy that is not there", lambda: store.read(location))
    require(not isinstance(error, StepCrashed) and error.hint, "store_read gave no hint")
