from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Site

STORE: dict[str, Any] = {"use": "file", "with": {"directory": "./library"}}
MIN_DISK: dict[str, Any] = {"use": "min_disk"}


def qcow2(site: Site, size: str) -> str:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", site.folder / "disk.qcow2", size], check=True)
    return "disk.qcow2"


@pytest.mark.parametrize(("size", "expected"), [("1G", 1), ("1025M", 2)])
def test_it_is_the_virtual_size_rounded_up(site: Site, size: str, expected: int) -> None:
    report = site.run([MIN_DISK], [STORE], qcow2(site, size))
    assert report["image"]["min_disk"] == expected


def test_it_follows_a_conversion(site: Site) -> None:
    steps = [{"use": "image_conversion", "with": {"output_format": "vmdk"}}, MIN_DISK]
    report = site.run(steps, [STORE], qcow2(site, "3G"))
    assert (report["image"]["disk_format"], report["image"]["min_disk"]) == ("vmdk", 3)


def test_raw_data_counts_as_long_as_it_is(site: Site) -> None:
    assert site.run([MIN_DISK], [STORE], site.disk(size=(1 << 30) + 512))["image"]["min_disk"] == 2


def test_a_stream_that_shows_its_size_in_its_header_is_not_read_for_it(site: Site) -> None:
    source = qcow2(site, "5G")
    subprocess.run(["gzip", source], cwd=site.folder, check=True)
    report = site.run([{"use": "image_decompression"}, MIN_DISK], [STORE], "disk.qcow2.gz")
    assert report["image"]["min_disk"] == 5
    assert report["plan"]["staging"] == "stream"


def test_a_raw_stream_of_unknown_length_changes_nothing(site: Site) -> None:
    subprocess.run(["gzip", site.disk()], cwd=site.folder, check=True)
    report = site.run([{"use": "image_decompression"}, MIN_DISK], [STORE], "disk.raw.gz")
    assert report["status"] == "success"
    assert report["image"]["min_disk"] == 0
