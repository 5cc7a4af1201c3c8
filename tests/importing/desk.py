"""Imports with plugins made for the test, run by the real runner on a real catalog."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imageport import (
    Context,
    Event,
    Image,
    ImageData,
    ImageRecord,
    Location,
    NoConfig,
    PendingCopy,
    Plugin,
    StoreFailed,
    hookimpl,
)
from imageport.catalog import Catalog
from imageport.configuration.site import Site
from imageport.importing.admission import ImportRequest
from imageport.importing.importer import Importer
from imageport.importing.lease_keeper import Interruption
from imageport.importing.plan import Plan, Terms
from imageport.importing.report import Report
from imageport.plugins.binding import BoundStep
from imageport.plugins.registry import PluginRegistry
from imageport.values import Caller, Source, StagedCopy


class Bytes(Plugin[NoConfig]):
    """Stage some bytes."""

    def __init__(self, *pieces: bytes, error: Exception | None = None) -> None:
        super().__init__(NoConfig())
        self.pieces = pieces
        self.error = error
        self.read = 0

    @hookimpl
    def stage(self) -> ImageData:
        return ImageData.from_chunks(self._chunks)

    def _chunks(self) -> Iterator[bytes]:
        for piece in self.pieces:
            self.read += len(piece)
            yield piece
        if self.error is not None:
            raise self.error


class Shelf(Plugin[NoConfig]):
    """Keep copies in a dict, and fail where the test requires it."""

    def __init__(self, name: str, *, fails: str = "", after: Callable[[], None] = lambda: None) -> None:
        super().__init__(NoConfig())
        self.name = name
        self.fails = fails
        self.after = after
        self.visible: dict[str, bytes] = {}
        self.pending: dict[str, bytes] = {}
        self.discarded = 0

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        url = f"shelf:{self.name}/{image.record.id}"
        ctx.announce(Location(url=url))
        if self.fails == "write":
            raise StoreFailed(f"{self.name} is full", hint="buy another shelf")
        if self.fails == "crash":
            raise ZeroDivisionError("oops")
        content = b""
        for piece in image.data.chunks():
            if not content:
                self.after_the_first_piece()
            content += piece
            if self.fails == "middle":
                raise StoreFailed(f"{self.name} broke in the middle")
            if self.fails == "short":
                break
        self.after()
        self.pending[url] = content

        def publish() -> None:
            self.before_it_publishes()
            if self.fails == "publish":
                raise StoreFailed(f"{self.name} cannot publish")
            self.visible[url] = self.pending.pop(url)

        def discard() -> None:
            self.discarded += 1
            del self.pending[url]

        return StagedCopy(Location(url=url), len(content) + (self.fails == "lies"), publish, discard)

    def before_it_publishes(self) -> None:
        """Do what the test wants to happen before the copy can be seen."""

    def after_the_first_piece(self) -> None:
        """Do what the test wants to happen in the middle of a copy."""

    @hookimpl
    def store_read(self, location: Location) -> ImageData:
        if location.url not in self.visible:
            raise StoreFailed(f"{location.url} is gone")
        return ImageData.from_chunks(lambda: iter([self.visible[location.url]]))

    @hookimpl
    def store_delete(self, location: Location) -> None:
        if self.fails == "delete":
            raise StoreFailed(f"{self.name} cannot delete")
        self.visible.pop(location.url, None)
        self.pending.pop(location.url, None)


class Listener(Plugin[NoConfig]):
    """Keep the events."""

    def __init__(self) -> None:
        super().__init__(NoConfig())
        self.events: list[Event] = []

    @hookimpl
    def on_progress(self, event: Event) -> None:
        self.events.append(event)

    def kinds(self) -> list[str]:
        return [
            event.kind for event in self.events if not event.kind.startswith(("progress", "step", "report"))
        ]


@dataclass
class Desk:
    """Everything an import needs, and what it left."""

    folder: Path
    catalog: Catalog
    site: Site
    listener: Listener = field(default_factory=Listener)

    def run(
        self,
        method: Plugin[Any],
        *stores: Shelf,
        steps: Sequence[Plugin[Any]] = (),
        must: bool = True,
        request: ImportRequest | None = None,
        spool_first: bool = False,
        stream_only: bool = False,
        uri: str | None = None,
    ) -> Report:
        """Import from *method* through *steps* into *stores*."""
        staging = "file" if spool_first else "stream" if stream_only else "auto"
        plan = Plan(
            terms=Terms(name="test", all_stores_must_succeed=must, staging=staging),
            source=Source(method="bytes", uri=uri),
            method=_bound("bytes", method),
            steps=tuple(_bound(type(step).__name__.lower(), step) for step in steps),
            stores=tuple(_bound(store.name, store, is_store=True) for store in stores),
            observers=(_bound("listener", self.listener),),
        )
        with Interruption() as interruption:
            importer = Importer(self.site, self.catalog, PluginRegistry.installed(), interruption)
            return importer.run(plan, request or ImportRequest(caller=Caller(user="tester")))

    def leftovers(self) -> list[Path]:
        """Return what is left in staging."""
        staging = self.site.staging.directory
        return sorted(staging.rglob("*")) if staging.exists() else []


def desk_image(image_id: str, **fields: Any) -> ImageRecord:
    """Return the record of a queued image that belongs to the one who imports."""
    return ImageRecord(id=image_id, owner="tester", disk_format="raw", container_format="bare", **fields)


def _bound(label: str, plugin: Plugin[Any], *, is_store: bool = False) -> BoundStep:
    return BoundStep.bind(label, "acme 1.0", plugin, is_store=is_store)
