"""Plugins that wait for ever, each in another hook."""

import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from imageport import Chunks, Context, Event, Image, ImageData, Location, NoConfig, Plugin, Source, hookimpl
from imageport.values import Finding, StoredCopy

from .stores import Plain


def hang() -> NoReturn:
    """Wait for ever."""
    while True:
        threading.Event().wait()


class HangsInValidateSource(Plugin[NoConfig]):
    """Wait in ``validate_source``."""

    @hookimpl
    def validate_source(self, source: Source) -> None:
        """Wait."""
        hang()


class HangsInSetup(Plain):
    """Wait in ``setup``."""

    def setup(self, ctx: Context) -> None:
        """Wait."""
        hang()


class HangsInStage(Plugin[NoConfig]):
    """Wait in ``stage``."""

    @hookimpl
    def stage(self, source: Source) -> ImageData:
        """Wait."""
        hang()


class HangsInTransform(Plugin[NoConfig]):
    """Wait in ``transform``."""

    @hookimpl
    def transform(self, image: Image) -> Image:
        """Wait."""
        hang()


class HangsInItsStream(Plugin[NoConfig]):
    """Wait while the stream is read."""

    @hookimpl
    def transform(self, image: Image) -> Image:
        """Return a stream that never comes."""

        def wait(chunks: Chunks) -> Chunks:
            yield b""
            hang()

        return image.evolve(data=image.data.through(wait))


class HangsInStoreWrite(Plain):
    """Wait in ``store_write``."""

    def fill(self, hidden: Path, image: Image) -> int:
        """Wait."""
        hang()


class HangsInPublish(Plain):
    """Wait in ``publish``."""

    def _publish(self, hidden: Path, final: Path) -> None:
        hang()


class HangsInDiscard(Plain):
    """Wait in ``discard``."""

    def discarding(self, hidden: Path) -> Callable[[], Any]:
        """Return a function that waits."""
        return hang


class HangsInStoreRead(Plain):
    """Wait in ``store_read``."""

    @hookimpl
    def store_read(self, location: Location, ctx: Context) -> ImageData:
        """Wait."""
        hang()


class HangsInStoreDelete(Plain):
    """Wait in ``store_delete``."""

    @hookimpl
    def store_delete(self, location: Location, ctx: Context) -> None:
        """Wait."""
        hang()


class HangsInStoreStat(Plain):
    """Wait in ``store_stat``."""

    @hookimpl
    def store_stat(self, location: Location, ctx: Context) -> StoredCopy | None:
        """Wait."""
        hang()


class HangsInStoreList(Plain):
    """Wait in ``store_list``."""

    @hookimpl
    def store_list(self, ctx: Context) -> Iterable[StoredCopy]:
        """Wait."""
        hang()


class HangsInOnProgress(Plugin[NoConfig]):
    """Wait in ``on_progress``."""

    @hookimpl
    def on_progress(self, event: Event) -> None:
        """Wait."""
        hang()


class HangsInDiagnose(Plain):
    """Wait in ``diagnose``."""

    @hookimpl
    def diagnose(self) -> Iterator[Finding]:
        """Wait."""
        hang()
        yield Finding("ok", "this is never reached")
