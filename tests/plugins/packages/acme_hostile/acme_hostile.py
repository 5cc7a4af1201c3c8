"""Plugins that do what no plugin should."""

import sys
from typing import Any

from imageport import (
    Context,
    Event,
    Image,
    ImageData,
    Location,
    NoConfig,
    PendingCopy,
    Plugin,
    Source,
    hookimpl,
)
from imageport.values import StagedCopy

print("acme_hostile prints on import")


class Crash(Plugin[NoConfig]):
    """Raise an error that Imageport does not know."""

    @hookimpl
    def transform(self, image: Image) -> Image:
        print("acme_hostile prints in a hook")
        raise LookupError("acme was here")


class CrashSource(Plugin[NoConfig]):
    """Raise while the source is judged."""

    @hookimpl
    def validate_source(self, source: Source) -> None:
        raise LookupError("acme was here")


class CrashStore(Plugin[NoConfig]):
    """Raise in the middle of the image."""

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        ctx.announce(Location(url="acme:nowhere"))
        next(image.data.chunks())
        raise LookupError("acme was here")

    @hookimpl
    def store_delete(self, location: Location) -> None:
        """Do nothing, well."""


class CrashObserver(Plugin[NoConfig]):
    """Raise on everything that happens."""

    @hookimpl
    def on_progress(self, event: Event) -> None:
        raise LookupError("acme was here")


class CrashAtBirth(Plugin[NoConfig]):
    """Raise before anything has begun."""

    def __init__(self, config: NoConfig) -> None:
        raise LookupError("acme was here")

    @hookimpl
    def transform(self, image: Image) -> None:
        """Never get here."""


class Mutate(Plugin[NoConfig]):
    """Change the record that others see, too."""

    @hookimpl
    def transform(self, image: Image) -> None:
        image.record.properties["acme"] = "was here"  # type: ignore[index]


class Misfit(Plugin[NoConfig]):
    """Want an argument that the hook does not have."""

    @hookimpl
    def transform(self, image: Image, money: int) -> None:  # type: ignore[override]
        """Never get here."""


class UnheardOf(Plugin[NoConfig]):
    """Answer a hook that does not exist, beside one that does."""

    @hookimpl
    def transform(self, image: Image) -> None:
        """Never get here."""

    @hookimpl
    def transmogrify(self, image: Image) -> None:  # type: ignore[misc]
        """Never get here."""


class Unmarked(Plugin[NoConfig]):
    """Forget the mark on one of two hooks."""

    @hookimpl
    def validate_source(self, source: Source) -> None:
        """Never get here."""

    def transform(self, image: Image) -> None:
        """Never get here."""


class Overreach(Plugin[NoConfig]):
    """Change every field of the record."""

    @hookimpl
    def transform(self, image: Image, ctx: Context) -> Image:
        return image.evolve(
            name="acme",
            container_format="ovf",
            disk_format="vmdk",
            virtual_size=12,
            min_disk=3,
            min_ram=4,
            tags=("acme",),
            properties={"acme": "was here", "os_glance_acme": "was here"},
            status="deactivated",
            size=1,
            checksum="0" * 32,
            os_hash_algo="md5",
            os_hash_value="0" * 32,
            owner="acme",
            visibility="public",
            protected=True,
            locations=(Location(url="acme:nowhere"),),
        )


class WrongStep(Plugin[NoConfig]):
    """Return a number for an image."""

    @hookimpl
    def transform(self, image: Image) -> Any:
        return 42


class WrongSource(Plugin[NoConfig]):
    """Return plain bytes for the data of an image."""

    @hookimpl
    def stage(self, source: Source) -> Any:
        return b"bytes"


class WrongStore(Plugin[NoConfig]):
    """Read everything and return nothing."""

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> Any:
        ctx.announce(Location(url="acme:nowhere"))
        for _ in image.data.chunks():
            pass


class LyingStore(Plugin[NoConfig]):
    """Claim to have written what it never read."""

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        ctx.announce(Location(url="acme:lies"))
        size = image.data.size or 0
        return StagedCopy(Location(url="acme:lies"), size, _nothing, _nothing)

    @hookimpl
    def store_read(self, location: Location) -> ImageData:
        return ImageData.from_chunks(lambda: iter([b"lies"]))


class SilentStore(Plugin[NoConfig]):
    """Write without an announcement."""

    @hookimpl
    def store_write(self, image: Image) -> PendingCopy:
        size = sum(map(len, image.data.chunks()))
        return StagedCopy(Location(url="acme:silent"), size, _nothing, _nothing)


class Quit(Plugin[NoConfig]):
    """End the process."""

    @hookimpl
    def transform(self, image: Image) -> None:
        sys.exit(0)


class NoPlugin:
    """A class that has nothing to do with Imageport."""


def no_class() -> None:
    """A function where a class is expected."""


def _nothing() -> None:
    pass
