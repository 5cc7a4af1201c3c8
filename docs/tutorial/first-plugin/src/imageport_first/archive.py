"""A store that keeps images packed."""

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import Field

from imageport import Context, Image, ImageData, Location, PluginConfig
from imageport.dataplane import CHUNK_SIZE, Chunk
from imageport.stores import Store, has_time


class GzipArchiveConfig(PluginConfig):
    """Options of ``gzip_archive``."""

    directory: Path = Field(description="Folder that receives the images; made when missing.")
    level: int = Field(default=1, ge=0, le=9, description="How hard to pack, from 0 to 9.")


class PackedCopy:
    """A copy being written: a hidden file, which is linked to its name when it is published."""

    def __init__(self, location: Location, level: int) -> None:
        self.final, self.mark = _path(location), int(location.metadata["mark"])
        self.hidden = _hidden(location)
        self.file = gzip.GzipFile(self.hidden, "xb", level)


class GzipArchive(Store[GzipArchiveConfig, PackedCopy]):
    """Keep each image as a gzip file, named by its id."""

    errors = {EOFError: "import the image again"}  # gzip reports a file that was cut off as EOFError

    def url(self, image: Image) -> str:
        return (self.config.directory / f"{image.record.id}.gz").as_uri()

    def open(self, location: Location, image: Image, ctx: Context) -> PackedCopy:
        self.config.directory.mkdir(parents=True, exist_ok=True)
        return PackedCopy(location, self.config.level)

    def write(self, copy: PackedCopy, chunk: Chunk) -> None:
        copy.file.write(chunk)

    def finish(self, copy: PackedCopy) -> None:
        copy.file.close()
        os.utime(copy.hidden, ns=(copy.mark, copy.mark))
        with copy.hidden.open("rb") as written:
            os.fsync(written.fileno())

    def publish(self, copy: PackedCopy) -> None:
        try:
            os.link(copy.hidden, copy.final)  # fails when the hidden file was removed, or the name is taken
        finally:
            copy.hidden.unlink(missing_ok=True)

    def discard(self, copy: PackedCopy) -> None:
        copy.hidden.unlink(missing_ok=True)
        copy.file.close()

    def read(self, location: Location, ctx: Context) -> ImageData:
        path = _path(location)
        path.stat()  # raises FileNotFoundError, which the base reports
        return ImageData.from_chunks(lambda: _unpacked(path))

    def delete(self, location: Location, ctx: Context) -> None:
        _hidden(location).unlink(missing_ok=True)
        if has_time(_path(location), location.metadata["mark"]):
            _path(location).unlink()


def _unpacked(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as file:
        while piece := file.read(CHUNK_SIZE):
            yield piece


def _path(location: Location) -> Path:
    return Path(unquote(urlsplit(location.url).path))


def _hidden(location: Location) -> Path:
    path = _path(location)
    return path.with_name(f".{path.name}.{location.metadata['mark']}.partial")
