"""No image larger than the cap of the site gets in, whichever way it comes."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.importing.desk import Bytes, Desk, Shelf

from imageport import ImageData, NoConfig, Plugin, hookimpl
from imageport.limits import Limits
from imageport_builtin.glance_direct import GlanceDirect
from imageport_builtin.image_decompression import DecompressionConfig, ImageDecompression

CAP = 1 << 20


class Announced(Plugin[NoConfig]):
    """Stage bytes whose number is known, and note when they are read."""

    def __init__(self, size: int) -> None:
        super().__init__(NoConfig())
        self.size = size
        self.was_read = False

    @hookimpl
    def stage(self) -> ImageData:
        return ImageData.from_chunks(self._chunks, size=self.size)

    def _chunks(self) -> Iterator[bytes]:
        self.was_read = True
        yield bytes(self.size)


@pytest.fixture
def capped_desk(desk: Desk) -> Desk:
    desk.site = desk.site.model_copy(update={"limits": Limits(image_size_cap=CAP)})
    return desk


def unpacking() -> ImageDecompression:
    return ImageDecompression(DecompressionConfig())


def assert_refused(
    desk: Desk, method: Plugin[NoConfig], *, uri: str | None = None, **options: object
) -> None:
    shelf = Shelf("shelf")
    report = desk.run(method, shelf, uri=uri, **options)  # type: ignore[arg-type]
    assert report.error is not None
    assert report.error.code == "limit-exceeded"
    assert "1.0 MiB" in report.error.message
    assert "image_size_cap" in report.error.hint
    assert (shelf.visible, shelf.pending) == ({}, {})
    assert desk.leftovers() == []


@pytest.mark.parametrize("spool_first", [False, True])
def test_a_stream_without_a_length_is_stopped_at_the_cap(capped_desk: Desk, *, spool_first: bool) -> None:
    source = Bytes(*[bytes(CAP // 4)] * 100)
    assert_refused(capped_desk, source, spool_first=spool_first)
    assert source.read <= 2 * CAP


def test_a_stream_with_a_length_above_the_cap_is_not_read(capped_desk: Desk) -> None:
    source = Announced(CAP + 1)
    assert_refused(capped_desk, source)
    assert not source.was_read


def test_an_archive_above_the_cap_is_stopped_though_what_is_in_it_is_small(capped_desk: Desk) -> None:
    # The comment in its header makes it large.
    header = b"\x1f\x8b\x08\x10" + bytes(6) + b"x" * (3 * CAP) + b"\0"
    archive = header + gzip.compress(b"small", mtime=0)[10:]
    assert_refused(
        capped_desk,
        Bytes(*[archive[at : at + 65536] for at in range(0, len(archive), 65536)]),
        steps=[unpacking()],
    )


def test_an_archive_is_stopped_when_its_contents_reach_the_cap(capped_desk: Desk) -> None:
    assert_refused(capped_desk, Bytes(gzip.compress(bytes(3 * CAP), mtime=0)), steps=[unpacking()])


def test_a_file_above_the_cap_is_not_begun(capped_desk: Desk, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.touch()
    os.truncate(large, 1 << 40)
    assert_refused(capped_desk, GlanceDirect(NoConfig()), uri=str(large))


def test_an_image_of_just_the_cap_is_imported(capped_desk: Desk) -> None:
    shelf = Shelf("shelf")
    report = capped_desk.run(Announced(CAP), shelf)
    assert report.error is None
    assert [len(content) for content in shelf.visible.values()] == [CAP]
