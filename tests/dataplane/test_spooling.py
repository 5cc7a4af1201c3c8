"""A file that a step gets does not change when the owner of the original changes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from tests.noise import noise

from imageport import Cancelled, Context, ImageData, LimitExceeded, TransformFailed
from imageport.dataplane.spool import space_taken
from imageport.limits import Limits
from imageport.testing.contexts import make_context, unused

CONTENT = noise(3_000_000)


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    (tmp_path / "staging" / "work").mkdir(parents=True)
    return make_context(
        tmp_path / "staging" / "work", image_id="image", staged=tmp_path / "staging" / "image"
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], ImageData]:
    def write_file(name: str) -> ImageData:
        (tmp_path / name).write_bytes(CONTENT)
        return ImageData.from_file(tmp_path / name)

    return write_file


@pytest.mark.parametrize("name", ["staging/work/made-by-a-step", "staging/image"])
def test_files_in_the_work_folder_and_in_staging_are_used_as_they_are(
    name: str, ctx: Context, write: Callable[[str], ImageData]
) -> None:
    data = write(name)
    assert ctx.spool(data) is data


def test_a_file_of_the_caller_is_copied(ctx: Context, write: Callable[[str], ImageData]) -> None:
    data = write("mine")
    spooled = ctx.spool(data)
    assert spooled.path is not None
    assert spooled.path.parent == ctx.work_folder
    cast("Path", data.path).write_text("something else")
    assert b"".join(spooled.chunks()) == CONTENT


def test_a_link_out_of_the_work_folder_is_copied_too(ctx: Context, write: Callable[[str], ImageData]) -> None:
    write("mine")
    link = ctx.work_folder / "link"
    link.symlink_to("../../mine")
    spooled = ctx.spool(ImageData.from_file(link))
    assert spooled.path not in (None, link)
    assert b"".join(spooled.chunks()) == CONTENT


def test_the_copy_of_a_file_keeps_its_holes(ctx: Context, tmp_path: Path) -> None:
    with (tmp_path / "mine").open("wb") as file:
        file.write(CONTENT)
        file.truncate(1 << 30)
    spooled = ctx.spool(ImageData.from_file(tmp_path / "mine"))
    assert spooled.size == 1 << 30
    assert cast("Path", spooled.path).stat().st_blocks * 512 < 2 * len(CONTENT)


def test_the_image_size_cap_holds_for_the_copy(ctx: Context, write: Callable[[str], ImageData]) -> None:
    small = replace(ctx, limits=Limits(image_size_cap=len(CONTENT) - 1))
    with pytest.raises(LimitExceeded):
        small.spool(write("mine"))
    assert list(ctx.work_folder.iterdir()) == []


@pytest.mark.parametrize("size", [len(CONTENT), 1 << 60])
def test_what_is_known_to_be_too_large_is_not_begun(ctx: Context, size: int) -> None:
    limits = Limits(image_size_cap=size if size > len(CONTENT) else size - 1)
    with pytest.raises(LimitExceeded):
        replace(ctx, limits=limits).spool(ImageData.from_chunks(unused, size=size))
    assert list(ctx.work_folder.iterdir()) == []


def test_a_file_whose_holes_do_not_fit_is_copied(ctx: Context, tmp_path: Path) -> None:
    with (tmp_path / "mine").open("wb") as file:
        file.write(CONTENT)
        file.truncate(1 << 43)
    stopped = ImageData.from_file(tmp_path / "mine")
    assert space_taken(tmp_path / "mine") < 2 * len(CONTENT)
    ctx.cancelled.set()
    with pytest.raises(Cancelled):  # and not LimitExceeded
        replace(ctx, limits=Limits(image_size_cap=1 << 44)).spool(stopped)


def test_a_pipeline_that_only_streams_makes_no_copy(ctx: Context, write: Callable[[str], ImageData]) -> None:
    with pytest.raises(TransformFailed, match="only be read from a file"):
        replace(ctx, stream_only=True).spool(write("mine"))


def test_a_spooled_file_is_verified_as_its_stream_was(ctx: Context) -> None:
    data = ImageData.from_chunks(lambda: iter([b"disk"]))
    assert ctx.spool(data.digested("sha256", lambda value: None)).verified
    assert not ctx.spool(ImageData.from_chunks(lambda: iter([b"disk"])).digested("sha256")).verified
