"""A store that keeps copies in memory, and fails where a test wants it to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from pydantic import Field

from imageport.context import Context
from imageport.data import ImageData
from imageport.dataplane.buffers import Chunk
from imageport.errors import StoreFailed
from imageport.hookspecs import hookimpl
from imageport.plugin import PluginConfig
from imageport.stores import Store
from imageport.values import Image, Location, StoredCopy

Stage = Literal["open", "write", "finish", "publish", "discard", "read", "delete"]


class MemoryStoreConfig(PluginConfig):
    """Options of the memory store."""

    shelf: str = Field(default="default", description="Where the copies are: stores of one shelf share them.")
    fails_at: frozenset[Stage] = Field(default=frozenset(), description="The methods that raise StoreFailed.")


@dataclass
class MemoryCopy:
    """A copy that is being written, or is hidden under its mark."""

    url: str
    mark: str
    content: bytearray = field(default_factory=bytearray)
    expected: Callable[[], Mapping[str, str]] = dict

    @property
    def sha256(self) -> str:
        """The digest of the bytes that are here."""
        return hashlib.sha256(self.content).hexdigest()


class MemoryStore(Store[MemoryStoreConfig, MemoryCopy]):
    """Keep copies in memory, for tests.

    ``published`` has the copies of all shelves, by url, and ``hidden`` those that are not published yet. They last as
    long as the process: call ``clear`` between tests.
    """

    published: ClassVar[dict[str, MemoryCopy]] = {}
    hidden: ClassVar[list[MemoryCopy]] = []

    @classmethod
    def clear(cls) -> None:
        """Forget all copies."""
        cls.published.clear()
        cls.hidden.clear()

    def url(self, image: Image) -> str:
        """Return ``memory://<shelf>/<id>``."""
        return f"memory://{self.config.shelf}/{image.record.id}"

    def prepare(self, location: Location) -> None:
        """Check that there is no copy."""
        if location.url in self.published:
            raise StoreFailed(f"{location.url} is already there", hint="delete it")

    def open(self, location: Location, image: Image, ctx: Context) -> MemoryCopy:
        """Begin a hidden copy."""
        self._fail("open")
        copy = MemoryCopy(location.url, location.metadata["mark"], expected=ctx.digests)
        self.hidden.append(copy)
        return copy

    def write(self, copy: MemoryCopy, chunk: Chunk) -> None:
        """Add the next bytes."""
        self._fail("write")
        copy.content += chunk

    def finish(self, copy: MemoryCopy) -> None:
        """Leave the copy hidden."""
        self._fail("finish")

    def publish(self, copy: MemoryCopy) -> None:
        """Move the copy to its url, unless it was removed or the url is taken."""
        try:
            self._fail("publish")
            if copy not in self.hidden or copy.url in self.published:
                raise StoreFailed(f"{copy.url} was removed or taken", hint="import the image again")
            if copy.expected().get("sha256", copy.sha256) != copy.sha256:
                raise StoreFailed(f"{copy.url} has other bytes than were sent", hint="import the image again")
            self.published[copy.url] = copy
        finally:
            self._forget(copy.url, copy.mark)

    def discard(self, copy: MemoryCopy) -> None:
        """Forget the hidden copy."""
        self._fail("discard")
        self._forget(copy.url, copy.mark)

    def read(self, location: Location, ctx: Context) -> ImageData:
        """Return the bytes of a published copy."""
        self._fail("read")
        if location.url not in self.published:
            raise StoreFailed(f"{location.url} is not there", hint="import the image again")
        content = bytes(self.published[location.url].content)
        return ImageData.from_chunks(lambda: iter([content]), size=len(content))

    def delete(self, location: Location, ctx: Context) -> None:
        """Forget the copy with the mark of the location."""
        self._fail("delete")
        mark = location.metadata["mark"]
        self._forget(location.url, mark)
        if location.url in self.published and self.published[location.url].mark == mark:
            del self.published[location.url]

    @hookimpl
    def store_stat(self, location: Location, ctx: Context) -> StoredCopy | None:
        """Return the published copy with the mark of the location."""
        copy = self.published.get(location.url)
        return None if copy is None or copy.mark != location.metadata["mark"] else _stored(copy)

    @hookimpl
    def store_list(self, ctx: Context) -> Iterator[StoredCopy]:
        """Yield the published copies on the shelf."""
        root = f"memory://{self.config.shelf}/"
        yield from [_stored(copy) for url, copy in self.published.items() if url.startswith(root)]

    def _forget(self, url: str, mark: str) -> None:
        self.hidden[:] = [copy for copy in self.hidden if (copy.url, copy.mark) != (url, mark)]

    def _fail(self, stage: Stage) -> None:
        if stage in self.config.fails_at:
            raise StoreFailed(f"shelf {self.config.shelf} fails at {stage}", hint="change the test")


def _stored(copy: MemoryCopy) -> StoredCopy:
    return StoredCopy(
        location=Location(url=copy.url, metadata={"mark": copy.mark}),
        size=len(copy.content),
        digests={"sha256": copy.sha256},
    )
