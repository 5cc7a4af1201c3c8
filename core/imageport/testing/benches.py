"""One plugin under test: made as a pipeline makes it, and called as an import calls it."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from imageport.configuration.paths import resolve_paths
from imageport.data import ImageData
from imageport.dataplane.buffers import Chunk, Chunks
from imageport.events import Event
from imageport.plugin import Plugin
from imageport.plugins.binding import BoundStep
from imageport.plugins.registry import PluginRegistry
from imageport.testing.contexts import make_host, make_transport
from imageport.values import Image, ImageRecord, Location, PendingCopy

#: The id of the image under test.
IMAGE_ID = "8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a01"

RECORD = ImageRecord(id=IMAGE_ID, name="disk.raw", disk_format="raw", container_format="bare")


class Bench:
    """A plugin and the import that calls it.

    ``events`` are those that the plugin has sent, ``announced`` the locations of its copies, and ``hooks`` the names of
    the hooks that it has. The methods call one hook each, and raise the errors that an import would see: an error that
    is none of Imageport becomes ``StepCrashed``.
    """

    def __init__(
        self, label: str, distribution: str, plugin: Plugin[Any], work: Path, *, is_store: bool
    ) -> None:
        self.events: list[Event] = []
        self.announced: list[Location] = []
        self._cancelled = threading.Event()
        self._transport = make_transport(cancelled=self._cancelled)
        self._step = BoundStep.bind(label, distribution, plugin, is_store=is_store)
        self._host = make_host(
            work,
            http=self._transport,
            cancelled=self._cancelled,
            image_id=IMAGE_ID,
            emit=self.events.append,
            announce_location=lambda _label, location: self.announced.append(location),
        )

    @property
    def hooks(self) -> frozenset[str]:
        """Names of the hooks that the plugin has."""
        return self._step.answers

    def transform(self, image: Image) -> Image:
        """Return the result of the step for *image*."""
        return self._step.transform(image, self._host)

    def chunks(self, data: ImageData) -> Generator[Chunk, None, None]:
        """Read *data*, a stream of the plugin."""
        return self._step.guard(data.chunks())

    def write(self, data: ImageData, record: ImageRecord | None = None) -> PendingCopy:
        """Return the copy that the store writes of *data*."""
        return self._step.store_write(Image(record or RECORD, data), self._host)

    def open(self, location: Location) -> ImageData:
        """Return the data of the copy at *location*, of which nothing is read yet."""
        return self._step.store_read(location, self._host)

    def read(self, location: Location) -> bytes:
        """Return the bytes of the copy at *location*."""
        return b"".join(self.chunks(self.open(location)))

    def delete(self, location: Location) -> None:
        """Remove the copy at *location*."""
        self._step.store_delete(location, self._host)

    def cancel(self) -> None:
        """Cancel the import."""
        self._cancelled.set()

    def close(self) -> None:
        """Close the connections of the import."""
        self._transport.close()


@contextmanager
def bench(
    plugin: str | type[Plugin[Any]], options: Mapping[str, Any], folder: Path, *, is_store: bool = False
) -> Iterator[Bench]:
    """Yield a bench for *plugin*, an installed name or a class, with *options* as under ``with:``.

    Relative paths in *options* are below *folder*. The scratch files of the import are in ``work`` there. The network
    is this machine.
    """
    if isinstance(plugin, str):
        installed = PluginRegistry.installed().find(plugin)
        label, distribution, plugin_class = plugin, installed.distribution, installed.load()
    else:
        label, distribution, plugin_class = plugin.__name__, plugin.__module__, plugin
    model = plugin_class.config_model
    config = model.model_validate(resolve_paths(dict(options), model, folder))
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    made = Bench(label, distribution, plugin_class(config), work, is_store=is_store)
    try:
        yield made
    finally:
        made.close()


class Stream:
    """A stream of *chunks* that notes whether it was begun, read to its end, and closed; it may raise *error* there."""

    def __init__(self, *chunks: Chunk, error: BaseException | None = None) -> None:
        self.begun = 0
        self.ended = False
        self.closed = False
        self._chunks = chunks
        self._error = error

    def data(self, *, with_size: bool = True) -> ImageData:
        """Return the stream as the data of an image, whose size is known beforehand or not."""
        size = sum(map(len, self._chunks)) if with_size else None
        return ImageData.from_chunks(self._read, size=size)

    def _read(self) -> Chunks:
        self.begun += 1
        try:
            yield from self._chunks
            if self._error is not None:
                raise self._error
            self.ended = True
        finally:
            self.closed = True


def files_below(folder: Path) -> list[str]:
    """Return the paths of all files below *folder*, hidden ones included, sorted."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def joined(chunks: Iterable[Chunk]) -> bytes:
    """Return *chunks* as one."""
    return b"".join(chunks)


def require_equal(found: bytes, expected: bytes) -> None:
    """Raise ``AssertionError``, with the first difference, unless both are equal.

    pytest would compare megabytes line by line for its message, which takes minutes.
    """
    if found == expected:
        return
    alike = next((i for i, pair in enumerate(zip(found, expected, strict=False)) if pair[0] != pair[1]), None)
    where = "one ends early" if alike is None else f"they differ from byte {alike} on"
    raise AssertionError(f"{len(found)} bytes were read, {len(expected)} expected; {where}")
