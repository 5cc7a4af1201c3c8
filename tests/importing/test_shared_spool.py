"""Stores that need the image in a file share one spool."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.importing.desk import Bytes, Desk, Shelf
from tests.noise import noise

from imageport import (
    Context,
    Image,
    ImageData,
    Location,
    NoConfig,
    PendingCopy,
    Plugin,
    StoreFailed,
    hookimpl,
)
from imageport_builtin.file_store import FileStore, FileStoreConfig
from imageport_builtin.glance_direct import GlanceDirect

CONTENT = noise(6_000_000)


class Seeking(Shelf):
    """Ask for the image as a file, and note which files are in the work folder then."""

    def __init__(self, name: str, *, fails: str = "") -> None:
        super().__init__(name, fails=fails)
        self.path: Path | None = None
        self.present: list[Path] = []

    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy:
        ctx.announce(Location(url=f"shelf:{self.name}/{image.record.id}"))
        self.path = ctx.spool(image.data).path
        assert self.path is not None
        self.present = sorted(ctx.work_folder.iterdir())
        if self.fails == "after":
            raise StoreFailed(f"{self.name} is full")
        return super().store_write(image.evolve(data=ImageData.from_file(self.path)), ctx)


@pytest.mark.parametrize("at_once", [0, 1])
@pytest.mark.parametrize("spool_first", [False, True])
def test_two_stores_that_spool_have_one_file(desk: Desk, *, spool_first: bool, at_once: int) -> None:
    limits = desk.site.limits.model_copy(update={"max_parallel_stores": at_once})
    desk.site = desk.site.model_copy(update={"limits": limits})
    one, two = Seeking("one"), Seeking("two")
    report = desk.run(Bytes(CONTENT), one, two, spool_first=spool_first)
    assert report.error is None
    assert one.path == two.path
    assert {*one.present, *two.present} == {one.path}
    assert [*one.visible.values(), *two.visible.values()] == [CONTENT, CONTENT]
    assert desk.leftovers() == []


def test_a_store_that_fails_leaves_the_file_to_the_others(desk: Desk) -> None:
    one, two = Seeking("one", fails="after"), Seeking("two")
    report = desk.run(Bytes(CONTENT), one, two, must=False)
    assert report.error is None
    assert [*two.visible.values()] == [CONTENT]


class Watching(Plugin[NoConfig]):
    """Look at the bytes, and then ask for a file."""

    def __init__(self) -> None:
        super().__init__(NoConfig())
        self.before: list[Path] = []
        self.after: list[Path] = []

    @hookimpl
    def transform(self, image: Image, ctx: Context) -> Image:
        self.before = sorted(ctx.work_folder.iterdir())
        spooled = ctx.spool(image.data.tapped(lambda chunks: chunks))
        self.after = sorted(ctx.work_folder.iterdir())
        return image.evolve(data=spooled)


def test_data_that_is_in_a_private_file_is_not_written_again_for_a_step(desk: Desk) -> None:
    step = Watching()
    report = desk.run(Bytes(CONTENT), Shelf("one"), steps=[step], spool_first=True)
    assert report.error is None
    assert len(step.before) == 1
    assert step.after == step.before


@pytest.mark.parametrize("order", [1, -1])
def test_a_store_that_moves_files_and_one_that_spools_get_along(
    desk: Desk, tmp_path: Path, order: int
) -> None:
    """Whichever comes first, both have the whole image."""
    disk = tmp_path / "disk.raw"
    disk.write_bytes(CONTENT)
    moving = FileStore(FileStoreConfig(directory=tmp_path / "moved"))
    moving.name = "moving"  # type: ignore[attr-defined]
    seeking = Seeking("seeking")
    stores = [moving, seeking][::order]
    report = desk.run(GlanceDirect(NoConfig()), *stores, uri=str(disk), spool_first=True)  # type: ignore[arg-type]
    assert report.error is None
    assert [*seeking.visible.values()] == [CONTENT]
    assert [path.read_bytes() for path in (tmp_path / "moved").iterdir()] == [CONTENT]
    assert desk.leftovers() == []
