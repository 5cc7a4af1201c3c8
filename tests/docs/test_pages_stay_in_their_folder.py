"""The files of a page are written below its scratch folder, whatever their names are."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.markdown import play

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
