"""A store of volumes in memory, for tests; it fails where a test wants it to."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar

from imageport import NoConfig, StoreFailed
from imageport.dataplane.buffers import Chunk
from imageport.stores import ExtentStore, VolumeFacts, retry
from imageport.values import StoreCapabilities


class ShelfError(Exception):
    """A failure of the shelf."""


class PassingError(ShelfError):
    """A failure that is over in a moment."""


@dataclass
class Record:
    """What is in the shelf under one name, and how it was written."""

    content: bytearray
    mark: str | None = None
    writes: list[tuple[int, int]] = field(default_factory=list)
    flushed: int = 0


class MemoryVolume:
    """A volume; ``open_volumes`` of the shelf counts those that are not closed."""

    knows_holes = True

    def __init__(self, shelf: type[Shelf], record: Record) -> None:
        self.shelf = shelf
        self.record = record
        self.is_fixed = False
        shelf.open_volumes += 1

    def write(self, offset: int, data: Chunk) -> None:
        with self.shelf.lock:
            self.shelf.fail("write")
            assert offset + len(data) <= len(self.record.content)
            self.record.content[offset : offset + len(data)] = data
            self.record.writes.append((offset, len(data)))

    def resize(self, size: int) -> None:
        self.shelf.fail("resize")
        assert not self.is_fixed
        content = self.record.content
        self.record.content = content[:size] + bytes(max(0, size - len(content)))

    def flush(self) -> None:
        self.shelf.fail("flush")
        self.record.flushed = len(self.record.writes)

    def data_ranges(self) -> Iterable[tuple[int, int]]:
        return sorted(self.record.writes) if self.knows_holes else [(0, 1 << 63)]

    def read(self, offset: int, length: int) -> bytes:
        self.shelf.fail("read")
        assert offset + length <= len(self.record.content)
        self.shelf.bytes_read += length
        return bytes(self.record.content[offset : offset + length])

    def close(self) -> None:
        self.shelf.open_volumes -= 1


class Shelf(ExtentStore[NoConfig]):
    """Keep volumes in memory."""

    suffix = "/snap"
    errors: ClassVar = {ShelfError: "dust the shelf", PassingError: retry("wait for the dust to settle")}

    volumes: ClassVar[dict[str, Record]] = {}
    failures: ClassVar[dict[str, list[Exception]]] = {}
    open_volumes: ClassVar[int] = 0
    bytes_read: ClassVar[int] = 0
    lock: ClassVar = threading.Lock()

    @classmethod
    def clear(cls) -> None:
        cls.volumes.clear()
        cls.failures.clear()
        cls.open_volumes = cls.bytes_read = 0

    @classmethod
    def fail(cls, call: str) -> None:
        """Raise the next failure that a test wants of *call*."""
        if cls.failures.get(call):
            raise cls.failures[call].pop(0)

    def prefix(self) -> str:
        self.fail("prefix")
        return "shelf://memory/"

    def create(self, name: str, size: int) -> MemoryVolume:
        self.fail("create")
        self.volumes[name] = Record(bytearray(size))
        return MemoryVolume(type(self), self.volumes[name])

    def seal(self, name: str, mark: str) -> None:
        self.fail("seal")
        record = self.volumes[name]
        assert record.flushed == len(record.writes)
        record.mark = mark

    def rename(self, hidden: str, name: str) -> None:
        self.fail("rename")
        if hidden not in self.volumes or name in self.volumes:
            raise StoreFailed(f"{name} cannot be published", hint="import it again")
        self.volumes[name] = self.volumes.pop(hidden)

    def remove(self, name: str) -> None:
        self.fail("remove")
        self.volumes.pop(name, None)

    def facts(self, name: str) -> VolumeFacts | None:
        self.fail("facts")
        record = self.volumes.get(name)
        return None if record is None else VolumeFacts(size=len(record.content), mark=record.mark)

    def open_volume(self, name: str) -> MemoryVolume:
        return MemoryVolume(type(self), self.volumes[name])

    def names(self) -> Iterable[str]:
        return list(self.volumes)


class SlowShelf(Shelf):
    """Keep volumes in memory, one call at a time."""

    in_flight = 1
    extent = 100_000


class FixedShelf(Shelf):
    """Keep volumes of a fixed size, a multiple of 512 bytes, as devices have."""

    capabilities = StoreCapabilities(needs_size=True, alignment=512, unwritten_is_zero=True)

    def create(self, name: str, size: int) -> MemoryVolume:
        volume = super().create(name, size)
        volume.is_fixed = True
        return volume

    def open_volume(self, name: str) -> MemoryVolume:
        volume = super().open_volume(name)
        volume.knows_holes = False
        return volume
