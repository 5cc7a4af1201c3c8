"""The base of stores that take an image in parts and show it as a whole, such as object stores."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, TypeVar
from urllib.parse import quote, unquote

from imageport.cleaning import logged
from imageport.context import Context
from imageport.data import ImageData
from imageport.dataplane.buffers import Chunk
from imageport.errors import StoreFailed
from imageport.hookspecs import hookimpl
from imageport.plugin import ConfigT
from imageport.stores.in_flight import with_retries
from imageport.stores.part_upload import PartUpload, sizes
from imageport.stores.remedies import remedy_for
from imageport.stores.store import Store
from imageport.stores.stored_object import StoredObject
from imageport.values import Finding, Image, Location, StoredCopy

T = TypeVar("T")

log = logging.getLogger(__name__)


class PartStore(Store[ConfigT, PartUpload]):
    """A store that takes an image in parts, several at a time, and shows it when the upload is completed.

    Its author writes ``root``, ``key``, ``begin``, ``put``, ``complete``, ``abort``, ``head``, ``get``, ``remove`` and
    ``keys``, which call the server once each and raise the errors in ``errors``. The base does the rest: parts of one
    size, which grow where a large image of known size needs more than ``max_parts``; at most ``in_flight`` parts on
    their way and one more in memory; further attempts at calls whose error has the remedy ``retry``, but for ``begin``,
    which could begin two uploads; an announcement before the upload is begun, and another one with its id; progress by
    acknowledged bytes. An object that is there is never replaced, and only one with the token of this copy is removed.
    """

    #: Bytes of a part, but for the last one of an image.
    part_size: int = 16 << 20
    #: Parts on their way to the server at the same time.
    in_flight: int = 4
    #: Parts of one object that the server takes.
    max_parts: ClassVar[int] = 10_000

    @property
    @abstractmethod
    def root(self) -> str:
        """The url of the place of all objects, which that of an object begins with: ``s3://bucket/``."""
        raise NotImplementedError

    @abstractmethod
    def key(self, image: Image) -> str:
        """Return the name of the object for *image*, relative to ``root``."""
        raise NotImplementedError

    @abstractmethod
    def begin(self, key: str, token: str, image: Image) -> str:
        """Begin an upload, whose object will carry *token*, and return its id; it is recorded, so not a secret."""
        raise NotImplementedError

    @abstractmethod
    def put(self, key: str, upload: str, number: int, offset: int, part: bytearray) -> str:
        """Upload part *number*, from 1, and return the receipt of the server. *part* is used again after this.

        Called from several threads. An image without bytes has one part without bytes.
        """
        raise NotImplementedError

    @abstractmethod
    def complete(self, key: str, upload: str, receipts: Sequence[str]) -> str:
        """Show the object, unless there is one already where the server can compare that.

        Return the ``version`` that it must have, or an empty text when that is not known.
        """
        raise NotImplementedError

    @abstractmethod
    def abort(self, key: str, upload: str | None) -> None:
        """Remove an upload, which may be gone; with None, every upload to *key* that has no part yet."""
        raise NotImplementedError

    @abstractmethod
    def head(self, key: str) -> StoredObject | None:
        """Return the state of an object, or None when there is none."""
        raise NotImplementedError

    @abstractmethod
    def get(self, key: str, stored: StoredObject, ctx: Context) -> ImageData:
        """Return the bytes of the object, as long as its version is that of *stored*."""
        raise NotImplementedError

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove an object, which may be gone."""
        raise NotImplementedError

    @abstractmethod
    def keys(self) -> Iterable[str]:
        """Return the names of all objects that may be copies."""
        raise NotImplementedError

    def url(self, image: Image) -> str:
        """Return the url of the object."""
        return self.root + quote(self.key(image))

    def prepare(self, location: Location) -> None:
        """Raise ``StoreFailed`` when the object is there already."""
        if self._retried(location, partial(self.head, self._key(location))) is not None:
            raise self._taken(location)

    def open(self, location: Location, image: Image, ctx: Context) -> PartUpload:
        """Begin an upload and announce its id."""
        key, mark = self._key(location), location.metadata["mark"]
        try:
            upload = self.begin(key, mark, image)
        except Exception as error:
            if self._is_passing(location, error):  # else the server has refused it
                self._attempt(location, partial(self.abort, key, None))
            raise
        location = replace(location, metadata={**location.metadata, "upload": upload})
        try:
            ctx.announce(location)
        except BaseException:
            self._attempt(location, partial(self.abort, key, upload))
            raise
        part_size, in_flight = sizes(image.data.size, self.part_size, self.in_flight, self.max_parts)

        def put(number: int, offset: int, part: bytearray, stopped: threading.Event) -> str:
            return self._retried(location, partial(self.put, key, upload, number, offset, part), stopped)

        return PartUpload(location, put, part_size, in_flight, ctx=ctx, size=image.data.size)

    def located(self, copy: PartUpload, location: Location) -> Location:
        """Return the location with the id of the upload."""
        return copy.location

    def write(self, copy: PartUpload, chunk: Chunk) -> None:
        """Add the next bytes to the part, and send it when it is full."""
        copy.write(chunk)
        if copy.count > self.max_parts:
            raise StoreFailed(
                f"the image has more than {self.max_parts} parts of {self.part_size >> 20} MiB",
                hint="give the store a larger part_size",
            )

    def finish(self, copy: PartUpload) -> None:
        """Send the last part, and wait until the server has all of them."""
        copy.finish()

    def publish(self, copy: PartUpload) -> None:
        """Complete the upload, and compare the object of the server with what was sent."""
        try:
            self._retried(copy.location, partial(self._complete, copy))
        except BaseException:
            self._attempt(copy.location, partial(self._clear, copy.location))
            raise

    def discard(self, copy: PartUpload) -> None:
        """Remove the upload, after the parts that are on their way."""
        copy.stop()
        self._clear(copy.location)

    def read(self, location: Location, ctx: Context) -> ImageData:
        """Return the bytes of the object that this attempt has written."""
        stored = self._ours(location)
        if stored is None:
            raise StoreFailed(
                f"{location.url} is missing, or was replaced after the import",
                hint="copy the image from another store, or import it again",
            )
        return self.get(self._key(location), stored, ctx)

    def delete(self, location: Location, ctx: Context) -> None:
        """Remove the upload and the object of this attempt."""
        self._retried(location, partial(self._clear, location))

    @hookimpl
    def store_stat(self, location: Location, ctx: Context) -> StoredCopy | None:
        """Return the state of the object, or None when this attempt has none."""
        with self._translating(location):
            stored = self._ours(location)
        return None if stored is None else _copy(location, stored)

    @hookimpl
    def store_list(self, ctx: Context) -> Iterator[StoredCopy]:
        """Yield the objects that carry a token."""
        root = Location(url=self.root)
        with self._translating(root):
            for key in self.keys():
                stored = self._retried(root, partial(self.head, key))
                if stored is not None and stored.token:
                    yield _copy(Location(url=self.root + quote(key), metadata={"mark": stored.token}), stored)

    @hookimpl
    def diagnose(self) -> Iterator[Finding]:
        """Yield whether the server answers and lets its objects be listed."""
        try:
            with self._translating(Location(url=self.root)):
                next(iter(self.keys()), None)
        except StoreFailed as error:
            yield Finding("error", error.message, error.hint)
        else:
            yield Finding("ok", f"{self.root} answers")

    def _complete(self, copy: PartUpload) -> None:
        """Show the object; it is there already when an answer to this was lost."""
        key, mark = self._key(copy.location), copy.location.metadata["mark"]
        stored, version = self.head(key), ""
        if stored is not None and stored.token != mark:
            raise self._taken(copy.location)
        if stored is None:
            version = self.complete(key, copy.location.metadata["upload"], copy.receipts)
            stored = self.head(key)
        if stored is None or stored.token != mark:
            raise StoreFailed(f"another process removed {copy.location.url}", hint="import the image again")
        digests = copy.digests()
        differs = any(digests.get(name, digest) != digest for name, digest in stored.digests.items())
        if differs or stored.size != copy.length or (version and stored.version != version):
            raise StoreFailed(
                f"the server has other bytes at {copy.location.url} than it was sent",
                hint="check the server and its disks, then import the image again",
            )

    def _clear(self, location: Location) -> None:
        key = self._key(location)
        self.abort(key, location.metadata.get("upload"))
        stored = self.head(key)
        if stored is not None and stored.token == location.metadata["mark"]:
            self.remove(key)

    def _ours(self, location: Location) -> StoredObject | None:
        stored = self._retried(location, partial(self.head, self._key(location)))
        return stored if stored and stored.token == location.metadata["mark"] else None

    def _key(self, location: Location) -> str:
        if not location.url.startswith(self.root):
            raise StoreFailed(
                f"{location.url} is not in {self.root}",
                hint="the place of the store was changed after this copy was written; change it back",
            )
        return unquote(location.url.removeprefix(self.root))

    def _taken(self, location: Location) -> StoreFailed:
        return StoreFailed(
            f"{location.url} is already there",
            hint="run 'imageport gc', which removes what failed imports left; "
            "if it stays, it does not belong to Imageport: move it away",
        )

    def _retried(
        self, location: Location, call: Callable[[], T], stopped: threading.Event | None = None
    ) -> T:
        """Return the result of *call*, which is made again when its error may pass, until *stopped*."""
        return with_retries(call, partial(self._is_passing, location), stopped or threading.Event())

    def _is_passing(self, location: Location, error: Exception) -> bool:
        if not isinstance(error, StoreFailed):
            if remedy_for(error, self.errors) is None:
                return False
            error = self.failure(location, error)
        return error.retry

    def _attempt(self, location: Location, clean: Callable[[], None]) -> None:
        """Clean up after an error, which is the one to report; what stays is removed by the announced location."""
        with logged(f"remove the incomplete copy {location.url}"):
            clean()


def _copy(location: Location, stored: StoredObject) -> StoredCopy:
    return StoredCopy(location=location, size=stored.size, digests=stored.digests, modified=stored.modified)
