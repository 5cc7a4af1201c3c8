from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imageport import Location
from imageport.testing import bench

if TYPE_CHECKING:
    from conftest import Site

STORE: dict[str, Any] = {"use": "named_file", "with": {"directory": "./library"}}


def copy_of(report: dict[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = report["stores"]["named_file"]
    return copy


def test_the_file_is_named_after_the_image_and_its_format(site: Site) -> None:
    report = site.run([], [STORE], site.disk("Debian 12.raw"))
    assert copy_of(report)["status"] == "published"
    stored = site.folder / "library" / "Debian-12.raw"
    assert copy_of(report)["location"] == stored.as_uri()
    assert hashlib.sha512(stored.read_bytes()).hexdigest() == report["image"]["os_hash_value"]
    assert site.library() == ["Debian-12.raw"]


def test_holes_stay_holes_and_the_mode_is_that_of_the_option(site: Site) -> None:
    site.run([], [{"use": "named_file", "with": {"directory": "./library", "mode": "0600"}}], site.disk())
    status = (site.folder / "library" / "disk.raw").stat()
    assert status.st_size == 3 << 20
    assert status.st_blocks * 512 <= 128 << 10
    assert status.st_mode & 0o777 == 0o600


def test_an_undeclared_format_is_detected_by_its_first_bytes(site: Site) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", site.folder / "disk.img", "8M"], check=True)
    report = site.run([], [STORE], "disk.img")
    assert report["status"] == "success"
    assert site.library() == ["disk.qcow2"]


def test_a_file_that_is_there_is_not_replaced(site: Site) -> None:
    (site.folder / "library").mkdir()
    (site.folder / "library" / "disk.raw").write_text("mine")
    report = site.run([], [STORE], site.disk())
    assert report["error"]["code"] == "store-failed"
    assert report["error"]["message"] == f"{site.folder}/library/disk.raw is already there"
    assert report["error"]["hint"].endswith("give the image another name with --name")
    assert (site.folder / "library" / "disk.raw").read_text() == "mine"
    assert site.run([], [STORE], "disk.raw", "--name", "other")["status"] == "success"
    assert site.library() == ["disk.raw", "other.raw"]


def test_a_dangling_link_counts_as_a_file_that_is_there(site: Site) -> None:
    (site.folder / "library").mkdir()
    (site.folder / "library" / "disk.raw").symlink_to("nowhere")
    assert site.run([], [STORE], site.disk())["error"]["code"] == "store-failed"
    assert site.library() == ["disk.raw"]


def test_two_stores_that_want_one_name_leave_nothing(site: Site) -> None:
    other = {"use": "named_file", "id": "other", "with": {"directory": "./library", "mode": "0600"}}
    report = site.run([], [STORE, other], site.disk())
    assert report["error"]["code"] == "store-failed"
    assert site.library() == []
    assert report["orphans"] == []


def test_a_failed_import_leaves_nothing(site: Site) -> None:
    (site.folder / "in-the-way").write_text("")
    broken = {"use": "file", "with": {"directory": "./in-the-way"}}
    report = site.run([], [STORE, broken], site.disk())
    assert report["error"]["store"] == "file"
    assert site.library() == []


def test_a_folder_that_is_a_file_is_reported_with_a_hint(site: Site) -> None:
    (site.folder / "library").write_text("")
    report = site.run([], [STORE], site.disk())
    assert report["error"]["code"] == "store-failed"
    assert report["error"]["message"] == f"{site.folder}/library cannot be written"
    assert "remove or rename" in report["error"]["hint"]


def test_deleting_the_image_removes_the_file(site: Site) -> None:
    image = site.run([], [STORE], site.disk())["image"]["id"]
    assert site("images", "delete", image, "--yes").exit_code == 0
    assert site.library() == []


def test_deleting_the_image_leaves_a_file_that_was_changed(site: Site) -> None:
    image = site.run([], [STORE], site.disk())["image"]["id"]
    with (site.folder / "library" / "disk.raw").open("r+b") as file:
        file.write(b"a machine ran here")
    assert site("images", "delete", image, "--yes").exit_code == 0
    assert site.library() == ["disk.raw"]


def test_a_copy_can_be_exported_until_it_is_changed(site: Site) -> None:
    image = site.run([], [STORE], site.disk())["image"]["id"]
    assert site("images", "export", image, "back.raw").exit_code == 0
    assert (site.folder / "back.raw").read_bytes() == (site.folder / "disk.raw").read_bytes()
    (site.folder / "library" / "disk.raw").write_bytes(b"replaced")
    refused = site("images", "export", image, "again.raw")
    assert refused.exit_code == 6
    assert "was changed or replaced after the import" in refused.stderr


def test_a_copy_of_the_first_version_is_read_and_removed(tmp_path: Path) -> None:
    copy = tmp_path / "debian.raw"
    copy.write_bytes(b"boot me")
    os.utime(copy, ns=(1_700_000_000_123_456_789, 1_700_000_000_123_456_789))
    metadata = {"modified": "1700000000123456789", "partial": ".image.1700000000123456789.partial"}
    location = Location(url=copy.as_uri(), metadata=metadata)
    with bench("named_file", {"directory": tmp_path}, tmp_path / "work", is_store=True) as store:
        assert store.read(location) == b"boot me"
        store.delete(location)
    assert not copy.exists()
