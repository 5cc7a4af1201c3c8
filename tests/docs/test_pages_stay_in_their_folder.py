"""The files of a page are written below its scratch folder, whatever their names are."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.test_links import PAGES, REPOSITORY
from tests.markdown import Block, blocks_of, place, play

FILES = [
    pytest.param(block, id=f"{page.relative_to(REPOSITORY)}:{block.line}")
    for page in PAGES
    for block in blocks_of(page)
    if block.file_name
]
SERVICE = "# {}\n[Service]\nExecStart=/usr/local/bin/imageport gc\n"


def page_with(name: str, tmp_path: Path) -> Path:
    """Return a page that shows a file of this name."""
    page = tmp_path / "page.md"
    page.write_text(f"```console\n$ mkdir deeper && cd deeper\n```\n\n```ini\n{SERVICE.format(name)}```\n")
    return page


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("gc.service", "deeper/gc.service"),
        ("units/gc.service", "deeper/units/gc.service"),
        ("../gc.service", "gc.service"),
        ("/etc/systemd/system/imageport-test.service", "etc/systemd/system/imageport-test.service"),
    ],
)
def test_a_file_is_written_below_the_scratch_folder(name: str, written: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    play(page_with(name, tmp_path), home)
    assert (home / written).read_text() == SERVICE.format(name)
    assert not Path("/etc/systemd/system/imageport-test.service").exists()


def test_a_page_that_leaves_the_scratch_folder_fails(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with pytest.raises(AssertionError, match=r"page.md:5: ../../gc.service is outside of the scratch folder"):
        play(page_with("../../gc.service", tmp_path), home)
    assert not (tmp_path / "gc.service").exists()


@pytest.mark.parametrize("block", FILES)
def test_every_file_of_every_page_is_written_below_the_scratch_folder(block: Block, tmp_path: Path) -> None:
    name = block.file_name or ""
    session = tmp_path / "a" / "b"

    written = place(block, session, tmp_path)

    assert written.is_relative_to(tmp_path)
    assert written == (tmp_path / name[1:] if name.startswith("/") else session / name)


def test_there_are_pages_with_files_of_the_whole_machine() -> None:
    names = [file.values[0].file_name for file in FILES]  # type: ignore[union-attr]
    assert "/etc/systemd/system/imageport-gc.service" in names
