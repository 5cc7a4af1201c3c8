"""The base of every store that writes: announce, write, count, and publish or discard."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, ClassVar, Generic, TypeVar

from imageport.cleaning import logged
from imageport.context import Context
from imageport.data import ImageData
from imageport.dataplane.buffers import Chunk, Chunks
from imageport.errors import ImageportError, StoreFailed
from imageport.hookspecs import hookimpl
from imageport.plugin import ConfigT, Plugin
from imageport.stores.first_design import adapt
from imageport.stores.remedies import SYSTEM, Errors, explained, reason, remedy_for, system_hint
from imageport.values import Image, Location, PendingCopy, StagedCopy

#: A copy while it is written: the result of ``open`` of the store.
CopyT = TypeVar("CopyT")


class Store(Plugin[ConfigT], Generic[ConfigT, CopyT], ABC):
    """A store whose author writes eight small methods.

    ``url``, ``prepare`` and ``metadata`` are called before the copy is announced, then ``open``, ``write`` for each
    chunk, ``finish``, and exactly one of ``publish`` and ``discard``. ``read`` and ``delete`` take a location.
    The base implements the hooks: it announces the location before ``open``, counts the bytes, calls ``discard`` after
    every failure without hiding it, and turns the errors in ``errors`` into :class:`~imageport.StoreFailed`. Errors of
    the image, which its chunks raise, pass unchanged.

    Each attempt to write an image has a separate mark, ``location.metadata["mark"]``: decimal digits, the time in
    nanoseconds. Use it in the hidden name of the copy, and publish from that name: when another process has removed
    the hidden copy, ``publish`` has to fail. So an import that was given up cannot publish any more.
    """

    #: The errors by which the store, its library and the system report a failure of the store, and the remedy of each:
    #: a hint, ``retry``, or a function of the error that returns a hint or a ``StoreFailed``. The class of an error
    #: counts before its bases. A store extends the table of its base, which has the errors of the operating system.
    #: An error that is in no table is a defect of the store.
    errors: ClassVar[Errors] = SYSTEM

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        adapt(cls)
        tables = [vars(base).get("errors", {}) for base in reversed(cls.__mro__)]
        cls.errors = MappingProxyType({kind: remedy for table in tables for kind, remedy in table.items()})

    @abstractmethod
    def url(self, image: Image) -> str:
        """Return where the copy of *image* will be; it holds no secrets."""
        raise NotImplementedError

    def prepare(self, location: Location) -> None:
        """Check that the place is free and can be written. Nothing of the copy is made here."""

    def metadata(self, location: Location) -> Mapping[str, str]:
        """Return what the location has to keep beside the mark, once its place is prepared; no secrets."""
        return {}

    @abstractmethod
    def open(self, location: Location, image: Image, ctx: Context) -> CopyT:
        """Begin a copy that no reader of the store can see. When this raises, nothing may be left."""
        raise NotImplementedError

    def write(self, copy: CopyT, chunk: Chunk) -> None:
        """Write the next bytes, at most a few MiB."""
        raise NotImplementedError(f"{type(self).__name__} has neither write nor write_all")

    def write_all(self, copy: CopyT, chunks: Chunks) -> None:
        """Write every chunk; a store whose library reads them by itself has this method instead of ``write``."""
        for chunk in chunks:
            self.write(copy, chunk)

    @abstractmethod
    def finish(self, copy: CopyT) -> None:
        """Complete the copy and make its bytes durable; it stays invisible."""
        raise NotImplementedError

    def digests(self, copy: CopyT) -> Mapping[str, str]:
        """Return the digests that the server has computed of the finished copy, by the names of ``hashlib``.

        Hexadecimal; empty where the server computes none. Before ``publish``, those that the import has made as well
        are compared: a copy with other bytes is discarded, and the store has failed.
        """
        return {}

    @abstractmethod
    def publish(self, copy: CopyT) -> None:
        """Make the copy visible at its location for good. When this raises, nothing may be visible or left."""
        raise NotImplementedError

    @abstractmethod
    def discard(self, copy: CopyT) -> None:
        """Remove every trace of the copy, which may be incomplete."""
        raise NotImplementedError

    @abstractmethod
    def read(self, location: Location, ctx: Context) -> ImageData:
        """Return the bytes of a published copy, without reading any yet. Raises when it is not there."""
        raise NotImplementedError

    @abstractmethod
    def delete(self, location: Location, ctx: Context) -> None:
        """Remove the copy for good, published or hidden; leave files with another mark. It may be missing."""
        raise NotImplementedError

    def located(self, copy: CopyT, location: Location) -> Location:
        """Return *location*, with what ``open`` has added to it when it announced the copy again."""
        return location

    def failure(self, location: Location, error: Exception) -> StoreFailed:
        """Return the error that a user reads for one of ``errors``: the place, the reason, and the next step."""
        remedy = remedy_for(error, self.errors) or ""
        if remedy is system_hint and isinstance(error, OSError):
            return self.system_failure(location, error)
        return explained(error, remedy, location.url)

    def system_failure(self, location: Location, error: OSError) -> StoreFailed:
        """Return the error that a user reads for *error* of the operating system, if ``errors`` has no remedy."""
        return StoreFailed(
            f"cannot use {location.url}: {reason(error)}", hint=system_hint(error, location.url)
        )

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        """Write every byte to a copy that is announced before and invisible afterwards."""
        location = Location(url=self.url(image), metadata={"mark": ctx.copy_token})
        with self._translating(location):
            self.prepare(location)
            location = replace(location, metadata={**location.metadata, **self.metadata(location)})
            ctx.announce(location)
            copy = self.open(location, image, ctx)
        try:
            source = _Source(image.data.chunks())
            try:
                with self._translating(location):
                    self.write_all(copy, source.chunks())
            except Exception:
                if source.error is not None:  # which libraries wrap
                    raise source.error  # noqa: B904 - the cause of an error of the image is not the store
                raise
            with self._translating(location):
                self.finish(copy)
        except BaseException:
            self._discard_after_failure(location, copy)
            raise
        location = self.located(copy, location)
        return StagedCopy(
            location,
            source.length,
            partial(self._publish, location, copy, ctx),
            partial(self._discard, location, copy),
        )

    @hookimpl
    def store_read(self, location: Location, ctx: Context) -> ImageData:
        """Return the bytes of a copy, whose stream raises errors of the store as ``StoreFailed``."""
        with self._translating(location):
            data = self.read(location, ctx)
        return data if data.path is not None else data.tapped(partial(self._translated, location))

    @hookimpl
    def store_delete(self, location: Location, ctx: Context) -> None:
        """Remove a copy."""
        with self._translating(location):
            self.delete(location, ctx)

    def _publish(self, location: Location, copy: CopyT, ctx: Context) -> None:
        try:
            self._require_same(location, copy, ctx.digests())
        except BaseException:
            self._discard_after_failure(location, copy)
            raise
        with self._translating(location):
            self.publish(copy)

    def _require_same(self, location: Location, copy: CopyT, expected: Mapping[str, str]) -> None:
        """Raise ``StoreFailed`` when a digest of the server differs from the *expected* one."""
        with self._translating(location):
            found = {name: value.lower() for name, value in self.digests(copy).items()}
        for name in sorted(found.keys() & expected.keys()):
            if found[name] != expected[name]:
                raise StoreFailed(
                    f"the server has other bytes at {location.url} than it was sent: "
                    f"their {name} is {found[name]}, that of the image is {expected[name]}",
                    hint="check the server, its disks and the network, then import the image again",
                )

    def _discard(self, location: Location, copy: CopyT) -> None:
        with self._translating(location):
            self.discard(copy)

    def _discard_after_failure(self, location: Location, copy: CopyT) -> None:
        # The deletion by location that follows removes what stays.
        with logged(f"remove the incomplete copy {location.url}"):
            self.discard(copy)

    def _translated(self, location: Location, chunks: Chunks) -> Chunks:
        with self._translating(location):
            yield from chunks

    @contextmanager
    def _translating(self, location: Location) -> Iterator[None]:
        try:
            yield
        except ImageportError:
            raise
        except Exception as error:
            if remedy_for(error, self.errors) is None:
                raise
            raise self.failure(location, error) from error


class _Source:
    """The bytes of an image, which are counted, and the error that ended them."""

    def __init__(self, chunks: Chunks) -> None:
        self.length = 0
        self.error: Exception | None = None
        self._chunks = chunks

    def chunks(self) -> Chunks:
        """Pass the chunks on."""
        try:
            for chunk in self._chunks:
                self.length += len(chunk)
                yield chunk
        except Exception as error:
            self.error = error
            raise
