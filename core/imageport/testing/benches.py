"""One plugin under test: made as a pipeline makes it, and called as an import calls it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from imageport.configuration.paths import resolve_paths
from imageport.data import ImageData
from imageport.dataplane.buffers import Chunk, Chunks
from imageport.events import Event
from imageport.plugin import Plugin, PluginConfig
from imageport.plugins.binding import BoundStep
from imageport.plugins.registry import PluginRegistry
from imageport.testing.clauses import PATIENCE, BrokenClause, require, within
from imageport.testing.contexts import make_host, make_transport
from imageport.testing.streams import joined
from imageport.values import (
    ClientSettings,
    Finding,
    Image,
    ImageRecord,
    Location,
    Source,
    StoreCapabilities,
    StoredCopy,
)

T = TypeVar("T")

#: The id of the image under test.
IMAGE_ID = "8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a01"

#: Time-outs that are short, as the servers of tests are near.
CLIENT = ClientSettings(connect_timeout=2.0, read_timeout=5.0)

#: Streams of the suites are far shorter.
_MOST_BYTES, _MOST_CHUNKS = 512 << 20, 200_000

#: The digests of an image that a store gets.
DIGESTS = ("md5", "sha256", "sha512")

RECORD = ImageRecord(id=IMAGE_ID, name="disk.raw", disk_format="raw", container_format="bare")


@dataclass(frozen=True)
class BenchCopy:
    """A pending copy, whose two ends are called as an import calls them."""

    location: Location
    bytes_written: int
    publish: Callable[[], None]
    discard: Callable[[], None]


class Bench:
    """A plugin and the import that calls it.

    ``events`` are those that the plugin has sent, ``announced`` the locations of its copies, ``hooks`` the names of
    the hooks that it has, ``digests`` those of the last image, and ``errors`` what its hooks have raised. The
    methods call one hook each, and raise the
    errors that an import would see: an error that is none of Imageport becomes ``StepCrashed``. A hook that does not
    return within *patience* seconds is left alone, and raises ``Unresponsive``.
    """

    def __init__(
        self, label: str, distribution: str, plugin: Plugin[Any], work: Path, *,
        is_store: bool, patience: float = PATIENCE, **services: Any,
    ) -> None:  # fmt: skip
        self.plugin = plugin
        self.events: list[Event] = []
        self.announced: list[Location] = []
        self.errors: list[BaseException] = []
        self.digests: dict[str, str] = {}
        self._patience = patience
        self._cancelled = threading.Event()
        network = services.pop("network", {})
        if "limits" in services:
            network = {"limits": services["limits"], **network}
        self._transport = make_transport(cancelled=self._cancelled, **network)
        # An import hides secrets in errors; a test has to see them.
        self._step = replace(
            BoundStep.bind(label, distribution, plugin, is_store=is_store), secrets=frozenset()
        )
        self._host = make_host(
            work,
            http=self._transport,
            cancelled=self._cancelled,
            image_id=IMAGE_ID,
            **{"client": CLIENT, **services},
            emit=self.events.append,
            announce_location=lambda _label, location: self.announced.append(location),
            known_digests=lambda: dict(self.digests),
        )

    @property
    def hooks(self) -> frozenset[str]:
        """Names of the hooks that the plugin has."""
        return self._step.answers

    @property
    def capabilities(self) -> StoreCapabilities:
        """The facts that the store declares."""
        return self.plugin.capabilities

    def transform(self, image: Image) -> Image:
        """Return the result of the step for *image*."""
        return self._call("transform", lambda: self._step.transform(image, self._host))

    def stage(self, source: Source, record: ImageRecord | None = None) -> ImageData:
        """Return the data of *source*, of which nothing is read yet."""
        return self._call("stage", lambda: self._step.stage(source, record or RECORD, self._host))

    def validate(self, source: Source, record: ImageRecord | None = None) -> None:
        """Let the plugin refuse *source*."""
        self._call(
            "validate_source", lambda: self._step.validate_source(source, record or RECORD, self._host)
        )

    def observe(self, event: Event) -> None:
        """Show *event* to the observer."""
        self._call("on_progress", lambda: self._step.on_progress(event, self._host))

    def chunks(self, data: ImageData) -> Generator[Chunk, None, None]:
        """Read *data*, a stream of the plugin."""
        return self._step.guard(data.chunks(), "store_read", self._host.limits)

    def bytes_of(self, data: ImageData) -> bytes:
        """Return all bytes of *data*, a stream of the plugin."""
        return self._call("its stream", lambda: joined(_bounded(self.chunks(data))))

    def write(self, data: ImageData, record: ImageRecord | None = None) -> BenchCopy:
        """Return the copy that the store writes of *data*, which it gets as it declares."""
        data = self._as_declared(data).tapped(self._digesting)
        copy = self._call(
            "store_write", lambda: self._step.store_write(Image(record or RECORD, data), self._host)
        )
        return BenchCopy(
            copy.location,
            copy.bytes_written,
            lambda: self._call("publish", copy.publish),
            lambda: self._call("discard", copy.discard),
        )

    def open(self, location: Location) -> ImageData:
        """Return the data of the copy at *location*, of which nothing is read yet."""
        return self._call("store_read", lambda: self._step.store_read(location, self._host))

    def read(self, location: Location) -> bytes:
        """Return the bytes of the copy at *location*."""
        return self.bytes_of(self.open(location))

    def delete(self, location: Location) -> None:
        """Remove the copy at *location*."""
        self._call("store_delete", lambda: self._step.store_delete(location, self._host))

    def stat(self, location: Location) -> StoredCopy | None:
        """Return what the store knows of the copy at *location*, None when it is not there."""
        return self._call("store_stat", lambda: self._step.store_stat(location, self._host))

    def list(self) -> list[StoredCopy]:
        """Return the published copies in the store that are Imageport's."""
        return self._call("store_list", lambda: [*self._step.store_list(self._host)])

    def diagnose(self) -> Sequence[Finding]:
        """Return the findings of the plugin."""
        return self._call("diagnose", lambda: self._step.diagnose(self._host))

    def cancel(self) -> None:
        """Cancel the import."""
        self._cancelled.set()

    def close(self) -> None:
        """Close the plugin and the connections of the import."""
        self._step.close()
        self._transport.close()

    def _as_declared(self, data: ImageData) -> ImageData:
        """Return *data* as a file if the store declares that it needs one, or the size that it has to know."""
        wanted = self.capabilities.wants_file or (self.capabilities.needs_size and data.size is None)
        return self._host.spool(data) if wanted else data

    def _digesting(self, chunks: Chunks) -> Chunks:
        """Compute the digests of an image, which its store gets when it publishes."""
        made = {name: hashlib.new(name) for name in DIGESTS}
        for chunk in chunks:
            for digest in made.values():
                digest.update(chunk)
            yield chunk
        self.digests = {name: digest.hexdigest() for name, digest in made.items()}

    def _call(self, hook: str, function: Callable[[], T]) -> T:
        try:
            return within(self._patience, hook, function)
        except BaseException as error:
            self.errors.append(error)
            if isinstance(error, BrokenClause):
                raise
            blamed = self._step.blamed(error, hook)
            if blamed is error:
                raise
            raise blamed from error


def _bounded(chunks: Chunks) -> Chunks:
    """Pass *chunks* on; a stream without end breaks the clause before it takes all memory."""
    total = 0
    for count, chunk in enumerate(chunks):
        total += len(chunk)
        require(total <= _MOST_BYTES and count <= _MOST_CHUNKS, "its stream does not end")
        yield chunk


@contextmanager
def bench(
    plugin: str | type[Plugin[Any]],
    options: Mapping[str, Any],
    folder: Path,
    *,
    is_store: bool = False,
    patience: float = PATIENCE,
    **services: Any,
) -> Iterator[Bench]:
    """Yield a bench for *plugin*, an installed name or a class, with *options* as under ``with:``.

    Relative paths in *options* are below *folder*. The scratch files of the import are in ``work`` there. The network
    is this machine. *services* replace fields of the context, and ``network`` arguments of ``make_transport``.
    """
    label, distribution, plugin_class = find_plugin(plugin)
    config = configure(plugin_class, options, folder)
    work = folder / "work"
    work.mkdir(parents=True, exist_ok=True)
    made = Bench(
        label, distribution, plugin_class(config), work, is_store=is_store, patience=patience, **services
    )
    try:
        yield made
    finally:
        made.close()


def find_plugin(plugin: str | type[Plugin[Any]]) -> tuple[str, str, type[Plugin[Any]]]:
    """Return label, distribution and class of *plugin*, an installed name or a class."""
    if isinstance(plugin, str):
        installed = PluginRegistry.installed().find(plugin)
        return plugin, installed.distribution, installed.load()
    return plugin.__name__, plugin.__module__, plugin


def configure(plugin_class: type[Plugin[Any]], options: Mapping[str, Any], folder: Path) -> PluginConfig:
    """Return *options*, as under ``with:``, as the options of *plugin_class*; relative paths are below *folder*."""
    model = plugin_class.config_model
    return model.model_validate(resolve_paths(dict(options), model, folder))
