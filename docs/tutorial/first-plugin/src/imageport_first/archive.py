"""A store that keeps images packed."""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import Field

from imageport import (
    Context,
    Image,
    ImageData,
    Location,
    PendingCopy,
    Plugin,
    PluginConfig,
    StoreFailed,
    hookimpl,
)
from imageport.dataplane import CHUNK_SIZE
from imageport.values import Written


class GzipArchiveConfig(PluginConfig):
    """Options of ``gzip_archive``."""

    directory: Path = Field(description="Folder that receives the images; made when missing.")
    level: int = Field(default=1, ge=0, le=9, description="How hard to pack, from 0 to 9.")


class GzipArchive(Plugin[GzipArchiveConfig]):
    """Keep each image as a gzip file, named by its id."""

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        """Pack the image into a hidden file."""
        final = self.config.directory / f"{image.record.id}.gz"
        partial = _partial(final)
        location = Location(url=final.as_uri())
        ctx.announce(location)
        try:
            total = self._pack(image.data, partial)
        except BaseException as error:
            partial.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise StoreFailed(
                    f"cannot write {partial}: {error.strerror}", hint=f"check {partial.parent}"
                ) from error
            raise
        return Written(location, total, lambda: _publish(partial, final), partial.unlink)

    def _pack(self, data: ImageData, partial: Path) -> int:
        """Write *data* to *partial* and return its bytes, counted before packing."""
        partial.parent.mkdir(parents=True, exist_ok=True)
        total = 0
        with partial.open("xb") as file:
            with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=self.config.level) as packed:
                for piece in data.chunks():
                    packed.write(piece)
                    total += len(piece)
            os.fsync(file.fileno())
        return total

    @hookimpl
    def store_read(self, location: Location) -> ImageData:
        """Return the unpacked bytes of a copy."""
        path = _path(location)
        if not path.is_file():
            raise StoreFailed(f"{path} is gone", hint="import the image again")
        return ImageData.from_chunks(lambda: _unpacked(path))

    @hookimpl
    def store_delete(self, location: Location) -> None:
        """Remove the file of a copy, finished or not."""
        _path(location).unlink(missing_ok=True)
        _partial(_path(location)).unlink(missing_ok=True)


def _publish(partial: Path, final: Path) -> None:
    try:
        partial.rename(final)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreFailed(
            f"cannot publish {final}: {error.strerror}", hint=f"check {final.parent}"
        ) from error


def _unpacked(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as file:
        while piece := file.read(CHUNK_SIZE):
            yield piece


def _partial(final: Path) -> Path:
    return final.with_name(f".{final.name}.partial")


def _path(location: Location) -> Path:
    return Path(unquote(urlsplit(location.url).path))
