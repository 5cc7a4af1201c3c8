"""A store whose library reads the bytes by itself has ``write_all`` instead of ``write``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from imageport import Chunks, Context, Image, ImageData, Location, NoConfig, SourceUnavailable, StoreFailed
from imageport.stores import Store
from imageport.testing import bench
from imageport.testing.streams import Stream


class LibraryError(Exception):
    """The error of a library that wraps whatever goes wrong."""


class Puller(Store[NoConfig, list[bytes]]):
    """Keep images in memory."""

    kept: list[list[bytes]] = []
    breaks: bool = False
    errors = {LibraryError: "look at the server"}

    def url(self, image: Image) -> str:
        return f"memory:{image.record.id}"

    def open(self, location: Location, image: Image, ctx: Context) -> list[bytes]:
        return []

    def write_all(self, copy: list[bytes], chunks: Chunks) -> None:
        try:
            for chunk in chunks:
                copy.append(bytes(chunk))
                if self.breaks:
                    raise ConnectionError("reset")  # noqa: TRY301
        except Exception as error:
            raise LibraryError("something went wrong") from error

    def finish(self, copy: list[bytes]) -> None:
        pass

    def publish(self, copy: list[bytes]) -> None:
        self.kept.append(copy)

    def discard(self, copy: list[bytes]) -> None:
        copy.clear()

    def read(self, location: Location, ctx: Context) -> ImageData:
        raise NotImplementedError

    def delete(self, location: Location, ctx: Context) -> None:
        pass


class BrokenPuller(Puller):
    """A store whose server ends the connection."""

    breaks = True


class Idle(Puller):
    """A store that writes in no way."""

    write_all = Store.write_all


def written(store: type[Puller], stream: Stream, folder: Path) -> Any:
    with bench(store, {}, folder, is_store=True) as made:
        return made.write(stream.data())


def test_all_bytes_come_and_are_counted(tmp_path: Path) -> None:
    copy = written(Puller, Stream(b"boot", b" me"), tmp_path)
    assert copy.bytes_written == 7
    copy.publish()
    assert Puller.kept.pop() == [b"boot", b" me"]


def test_an_error_of_the_image_passes_though_the_library_wraps_it(tmp_path: Path) -> None:
    error = SourceUnavailable("the cable was cut")
    with pytest.raises(SourceUnavailable) as caught:
        written(Puller, Stream(b"boot", error=error), tmp_path)
    assert caught.value is error


def test_an_error_of_the_library_gets_its_remedy(tmp_path: Path) -> None:
    with pytest.raises(StoreFailed) as caught:
        written(BrokenPuller, Stream(b"boot"), tmp_path)
    assert caught.value.hint == "look at the server"
    assert isinstance(caught.value.__cause__, LibraryError)


def test_a_store_without_both_is_named(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="Idle has neither write nor write_all"):
        written(Idle, Stream(b"boot"), tmp_path)
