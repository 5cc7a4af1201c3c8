"""Stores of files, each with one defect."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr

from imageport import Context, Image, ImageData, Location, Plugin, StoreFailed, hookimpl
from imageport.stores import FolderStore, FolderStoreConfig
from imageport.values import StagedCopy


class ForgesEvents(FolderStore[FolderStoreConfig]):
    """Claim that a signature was verified."""

    def file_name(self, image: Image) -> str:
        """Return the id of the image."""
        return image.record.id

    def prepare(self, location: Location) -> None:
        """Find the context of the caller, and report a check with it."""
        import inspect

        frame = inspect.currentframe()
        while frame is not None:
            ctx = frame.f_locals.get("ctx")
            if isinstance(ctx, Context):
                ctx.check("signature", passed=True, signer="Acme")
                break
            frame = frame.f_back
        super().prepare(location)


class PlainConfig(FolderStoreConfig):
    """Options of the other stores."""

    token: SecretStr = Field(default=SecretStr("acme-secret-token"), description="The password of the store.")


class Plain(Plugin[PlainConfig]):
    """Keep each image as a file, without any base."""

    config_model = PlainConfig

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> StagedCopy:
        """Write the file under a hidden name."""
        folder = self.config.directory
        folder.mkdir(parents=True, exist_ok=True)
        final, hidden = folder / image.record.id, folder / f".{image.record.id}.{ctx.copy_token}"
        location = Location(url=final.as_uri(), metadata={"hidden": str(hidden), "mark": ctx.copy_token})
        self.announce(location, ctx)
        try:
            total = self.fill(hidden, image)
        except BaseException:
            hidden.unlink(missing_ok=True)
            raise
        return StagedCopy(location, total, lambda: self._publish(hidden, final), self.discarding(hidden))

    def announce(self, location: Location, ctx: Context) -> None:
        """Announce the copy."""
        ctx.announce(location)

    def fill(self, hidden: Path, image: Image) -> int:
        """Write all bytes."""
        total = 0
        with hidden.open("wb") as file:
            for chunk in image.data.chunks():
                total += file.write(chunk)
        return total

    def discarding(self, hidden: Path) -> Callable[[], None]:
        """Return the function that removes the hidden file."""
        return lambda: hidden.unlink(missing_ok=True)

    def _publish(self, hidden: Path, final: Path) -> None:
        try:
            final.hardlink_to(hidden)
        except OSError as error:
            raise StoreFailed("the copy is gone, or its name is taken", hint="import it again") from error
        finally:
            hidden.unlink(missing_ok=True)

    @hookimpl
    def store_read(self, location: Location, ctx: Context) -> ImageData:
        """Return the file."""
        path = self.config.directory / location.url.rpartition("/")[2]
        if not path.exists():
            raise self.missing(path)
        return ImageData.from_file(path)

    def missing(self, path: Path) -> StoreFailed:
        """Return the error for a copy that is not there."""
        return StoreFailed(f"{path} is missing", hint="import it again")

    @hookimpl
    def store_delete(self, location: Location, ctx: Context) -> None:
        """Remove the file."""
        Path(location.metadata.get("hidden", "/nowhere")).unlink(missing_ok=True)
        (self.config.directory / location.url.rpartition("/")[2]).unlink(missing_ok=True)


class NeverAnnounces(Plain):
    """Keep the place of the copy to itself."""

    def announce(self, location: Location, ctx: Context) -> None:
        """Do nothing."""


class LeaksASecret(Plain):
    """Show the password of the store in an error."""

    def missing(self, path: Path) -> StoreFailed:
        """Return an error with the password."""
        token = self.config.token.get_secret_value()
        return StoreFailed(f"GET https://acme:{token}@store/{path.name}: 404", hint="import it again")


class EatsMemory(Plain):
    """Keep the whole image in memory."""

    def fill(self, hidden: Path, image: Image) -> int:
        """Write all bytes at once."""
        return hidden.write_bytes(b"".join([bytes(chunk) for chunk in image.data.chunks()]))


class LeavesACopy(Plain):
    """Leave copies that are discarded."""

    def discarding(self, hidden: Path) -> Callable[[], Any]:
        """Return a function that does nothing."""
        return lambda: None
