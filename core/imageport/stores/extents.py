"""The base of stores whose copies are volumes: written at any offset, in any order, zeros left out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Generic
from urllib.parse import quote, unquote

from imageport.cleaning import logged
from imageport.context import Context
from imageport.data import ImageData
from imageport.dataplane.buffers import CHUNK_SIZE, Chunk, Chunks
from imageport.errors import StoreFailed
from imageport.hookspecs import hookimpl
from imageport.plugin import ConfigT
from imageport.stores.in_flight import in_order, with_retries
from imageport.stores.remedies import Retry, remedy_for
from imageport.stores.store import Store
from imageport.stores.volumes import Volume, VolumeFacts, VolumeWriter, reads
from imageport.values import Image, Location, StoreCapabilities, StoredCopy


def hidden_name(name: str, mark: str) -> str:
    """Return the name of the copy *name* before it is published."""
    return f"{name}.{mark}.partial"


@dataclass(frozen=True, slots=True)
class VolumeCopy:
    """A copy that will be the volume *name*."""

    name: str
    mark: str
    _writer: VolumeWriter

    @property
    def hidden(self) -> str:
        """The name of the volume before it is published."""
        return hidden_name(self.name, self.mark)


class ExtentStore(Store[ConfigT, "VolumeCopy"], Generic[ConfigT]):
    """A store in which each image is a volume, such as an RBD image, a logical volume, or a device.

    Its author writes ``prefix``, ``create``, ``seal``, ``rename``, ``remove``, ``facts`` and ``open_volume``, and the
    class :class:`Volume`. A copy is created under a hidden name with the mark of its attempt; its data is written, many
    extents at a time; it is flushed, closed and sealed. Publishing renames it.

    ``capabilities`` decide what happens to images whose size is not known beforehand: with ``needs_size``, Imageport
    spools them; without, the volume is resized as it grows.
    """

    #: Bytes of the longest write. No write crosses a multiple of it. At most 4 MiB.
    extent: int = CHUNK_SIZE

    #: Writes and reads that are made at the same time; with 1, they come in order.
    in_flight: int = 8

    #: The end of the url of each copy, after its name.
    suffix: ClassVar[str] = ""

    capabilities = StoreCapabilities(unwritten_is_zero=True, keeps_holes=True)

    @abstractmethod
    def prefix(self) -> str:
        """Return the start of the url of each copy, such as ``rbd://cluster/pool/``; it holds no secrets."""
        raise NotImplementedError

    @abstractmethod
    def create(self, name: str, size: int) -> Volume:
        """Create a volume that reads as zeros, and open it to be written. When this raises, nothing may be left."""
        raise NotImplementedError

    @abstractmethod
    def seal(self, name: str, mark: str) -> None:
        """Give the closed volume *name* its *mark*, and all that it needs before other programs see it."""
        raise NotImplementedError

    @abstractmethod
    def rename(self, hidden: str, name: str) -> None:
        """Rename a volume at once. Raises when *hidden* is missing or *name* is taken; then nothing has changed."""
        raise NotImplementedError

    @abstractmethod
    def remove(self, name: str) -> None:
        """Remove a volume for good; it may be incomplete or missing. Raises when it is still there afterwards."""
        raise NotImplementedError

    @abstractmethod
    def facts(self, name: str) -> VolumeFacts | None:
        """Return the facts about a volume, None when it is missing."""
        raise NotImplementedError

    @abstractmethod
    def open_volume(self, name: str) -> Volume:
        """Open a volume to be read."""
        raise NotImplementedError

    def names(self) -> Iterable[str]:
        """Yield the names of all volumes, for ``store_list``; a store that cannot list them has none."""
        return ()

    def name(self, image: Image) -> str:
        """Return the name of the volume of *image*: its id, unless overridden."""
        return image.record.id

    def url(self, image: Image) -> str:
        """Return prefix, name and suffix."""
        with self._translating(Location(url="the store")):
            return self._url_of(self.name(image))

    def prepare(self, location: Location) -> None:
        """Refuse a name that is taken."""
        if self.facts(self.name_at(location)) is not None:
            raise StoreFailed(
                f"{location.url} is already there",
                hint="run 'imageport gc', which removes what failed imports left; "
                "if it stays, it does not belong to Imageport: remove or rename it",
            )

    def open(self, location: Location, image: Image, ctx: Context) -> VolumeCopy:
        """Create the volume under its hidden name."""
        name, mark, size = self.name_at(location), location.metadata["mark"], image.data.size
        attempt = partial(with_retries, is_passing=self._is_passing, cancelled=ctx.cancelled)
        volume = attempt(partial(self.create, hidden_name(name, mark), size or 0))
        return VolumeCopy(name, mark, VolumeWriter(volume, size or 0, self.extent, self.in_flight, attempt))

    def write(self, copy: VolumeCopy, chunk: Chunk) -> None:
        """Write what is not zero as soon as there is room for another write in flight."""
        copy._writer.write(chunk)

    def finish(self, copy: VolumeCopy) -> None:
        """Wait for all writes, flush, close and seal."""
        copy._writer.finish()
        self.seal(copy.hidden, copy.mark)

    def publish(self, copy: VolumeCopy) -> None:
        """Rename the volume."""
        try:
            self.rename(copy.hidden, copy.name)
        except BaseException:
            with logged(f"remove {copy.hidden}"):
                self.discard(copy)
            raise

    def discard(self, copy: VolumeCopy) -> None:
        """Remove the hidden volume."""
        with logged(f"close {copy.hidden}"):
            copy._writer.close()
        self.remove(copy.hidden)

    def read(self, location: Location, ctx: Context) -> ImageData:
        """Return the bytes of the volume; what it knows to be zero is not read."""
        name = self.name_at(location)
        facts = self.facts(name)
        if facts is None:
            raise StoreFailed(f"{location.url} is missing from the store", hint="import the image again")
        if location.metadata.get("mark", facts.mark) != facts.mark:
            raise StoreFailed(
                f"{location.url} was replaced after the import",
                hint="copy from another store, or import it as a new image",
            )
        return ImageData.from_chunks(partial(self._chunks, name, facts.size), size=facts.size)

    def delete(self, location: Location, ctx: Context) -> None:
        """Remove the copy, hidden or published; a volume with another mark that took its name stays."""
        name, mark = self.name_at(location), location.metadata.get("mark")
        if mark is not None:
            self.remove(hidden_name(name, mark))
        facts = self.facts(name)
        if facts is not None and mark in (None, facts.mark):
            self.remove(name)

    @hookimpl
    def store_stat(self, location: Location, ctx: Context) -> StoredCopy | None:
        """Return size and time of the published copy."""
        with self._translating(location):
            facts = self.facts(self.name_at(location))
            if facts is None or location.metadata.get("mark", facts.mark) != facts.mark:
                return None
            return StoredCopy(location=location, size=facts.size, modified=facts.modified)

    @hookimpl
    def store_list(self, ctx: Context) -> Iterator[StoredCopy]:
        """Yield the published copies: the volumes with a mark."""
        with self._translating(Location(url=self.prefix())):
            for name in self.names():
                facts = self.facts(name)
                if facts is not None and facts.mark and not name.endswith(hidden_name("", facts.mark)):
                    location = Location(url=self._url_of(name), metadata={"mark": facts.mark})
                    yield StoredCopy(location=location, size=facts.size, modified=facts.modified)

    def name_at(self, location: Location) -> str:
        """Return the name of the volume at *location*. Raises ``StoreFailed`` for one that is not in this store."""
        prefix, end = self.prefix(), len(location.url) - len(self.suffix)
        name = location.url[len(prefix) : end]
        if location.url != f"{prefix}{name}{self.suffix}" or not name or "/" in name:
            raise StoreFailed(
                f"{location.url} is not in {prefix}",
                hint="the options of the store were changed after this copy was written; change them back",
            )
        return unquote(name)

    def _url_of(self, name: str) -> str:
        return f"{self.prefix()}{quote(name, safe='')}{self.suffix}"

    def _is_passing(self, error: Exception) -> bool:
        if isinstance(error, StoreFailed):
            return error.retry
        return isinstance(remedy_for(error, self.errors), Retry)

    def _chunks(self, name: str, size: int) -> Chunks:
        volume = self.open_volume(name)
        try:
            yield from in_order(reads(volume, size), self.in_flight)
        finally:
            with logged(f"close {name}"):
                volume.close()
