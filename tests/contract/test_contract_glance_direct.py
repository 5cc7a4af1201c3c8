from __future__ import annotations

import hashlib
import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing

import pytest
from tests.contract.site import Site
from tests.noise import noise

from imageport.testing.command import IMAGEPORT

BODY = b"bytes"
#: Run a command where a folder is mounted anew, in a separate namespace.
MOUNTED = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
SMALL_DISK = (*MOUNTED, 'mkdir -p "$0" && mount -t tmpfs -o size=1m none "$0" && exec "$@"')
READ_ONLY = (*MOUNTED, 'mkdir -p "$0" && mount -t tmpfs -o ro none "$0" && exec "$@"')


def assert_nothing_staged(site: Site, image: str) -> None:
    """The image is queued as before the attempt."""
    record = site.show(image)
    assert (record["status"], record["size"], site.staged()) == ("queued", None, [])


def test_016_staged_bytes_become_active(site: Site) -> None:
    """5 bytes are staged: the image is uploading and has a size, no checksum. Imported: active, the checksum is their
    MD5, os_hash_value their SHA-512, the size 5; the staged file is gone, the lock is free, and no store is
    listed as being imported to or as failed."""
    image = site.create()
    site.stage(image, BODY)
    record = site.show(image)
    assert (record["status"], record["size"]) == ("uploading", 5)
    assert {record[name] for name in ("checksum", "os_hash_algo", "os_hash_value", "virtual_size")} == {None}
    assert site.staged() == [image]
    done = site.run(image=image)
    assert done.code == 0, done.report["error"]
    expected = {
        "status": "active",
        "size": 5,
        "checksum": hashlib.md5(BODY).hexdigest(),
        "os_hash_algo": "sha512",
        "os_hash_value": hashlib.sha512(BODY).hexdigest(),
        "properties": {"os_glance_importing_to_stores": "", "os_glance_failed_import": ""},
    }
    assert {name: done.image[name] for name in expected} == expected
    assert site.stored() == {"s1": {image: BODY}}
    assert site.staged() == []


def test_017_data_is_staged_once_and_where_that_is_enabled(site: Site) -> None:
    """Staging where glance-direct is not enabled: refused (404 in Glance). Staging a second time, and importing a file
    into an image whose data is staged: a conflict (409), and the staged data stays."""
    image = site.create()
    site.configure(enabled_methods=["web-download"])
    assert "glance-direct is not enabled" in site.stage(image, BODY, code=2).stderr
    assert_nothing_staged(site, image)
    site.configure(enabled_methods=None)
    site.stage(image, BODY)
    assert "data is staged already" in site.stage(image, b"other", code=7).stderr
    done = site.run(b"other", image=image)
    assert (done.code, done.error["code"]) == (7, "conflict")
    assert site.show(image)["status"] == "uploading"
    assert site.run(image=image).image["checksum"] == hashlib.md5(BODY).hexdigest()


@pytest.mark.parametrize(
    ("size", "code", "message"),
    [("6", 3, "6 were announced"), ("4", 3, "4 were announced"), ("abc", 2, "--size"), ("-1", 2, "--size")],
)
def test_018_data_has_the_size_that_was_announced(site: Site, size: str, code: int, message: str) -> None:
    """The announced size, in Glance a header and here --size, is larger or smaller than the data, or no number:
    refused (400); the image is queued and nothing is staged."""
    image = site.create()
    assert message in site.stage(image, BODY, "--size", size, code=code).stderr
    assert_nothing_staged(site, image)
    site.stage(image, BODY, "--size", "5")


@pytest.mark.parametrize(
    ("prefix", "size", "message", "hint"),
    [
        ((), 2 << 20, "larger than 1.5 MiB", "image_size_cap"),
        (SMALL_DISK, (1 << 20) + 1, "No space left", "staging.directory"),
        (READ_ONLY, 5, "Read-only file system", "staging.directory"),
    ],
    ids=["above the cap", "disk full", "write denied"],
)
def test_019_what_cannot_be_staged_leaves_nothing(
    site: Site, prefix: Sequence[str], size: int, message: str, hint: str
) -> None:
    """The data is larger than image_size_cap, or than the disk (413 both), or staging cannot be written (503): the
    command fails and its hint names the change to make, the image is queued and nothing is staged."""
    site.configure(limits={"image_size_cap": "1.5 MiB"})
    image = site.create()
    mounted = [str(site.folder / "staging")] if prefix else []
    done = subprocess.run(
        [*prefix, *mounted, IMAGEPORT, "images", "stage", image, "-"],
        input=noise(size), capture_output=True, cwd=site.folder, env=dict(site.command.environment),
        check=False,
    )  # fmt: skip
    printed = done.stderr.decode()
    assert done.returncode == 1, printed
    assert message in printed
    assert hint in printed
    assert_nothing_staged(site, image)


@pytest.mark.parametrize("size", [4, 6])
def test_020_a_record_that_does_not_fit_the_staged_file_is_not_imported(site: Site, size: int) -> None:
    """The size of the record was edited in the database, so that it differs from the staged file: the task fails and
    names both sizes, and nothing is stored."""
    image = site.create()
    site.stage(image, BODY)
    with closing(sqlite3.connect(site.folder / "catalog.db")) as database, database:
        database.execute("update images set size = ? where id = ?", (size, image))
    done = site.run(image=image)
    assert "5 bytes are staged" in done.task["message"]
    assert f"its record has {size}" in done.task["message"]
    site.assert_rolled_back(done, failed="s1")


def test_021_the_staging_directory_may_be_written_as_a_url(site: Site) -> None:
    """The staging directory as a path and as a file:// url, with and without a slash at the end: one and the same
    folder. Another scheme, or a url without an absolute path: a mistake of the site file, printed with its line."""
    folder = site.folder / "some where"
    for directory in (f"{folder}", f"{folder}/", f"file://{folder}", f"file://{folder}/", "some where"):
        site.configure(staging={"directory": directory})
        image = site.create()
        site.stage(image, BODY)
        assert [path.name for path in folder.iterdir()] == [image]
        site.imageport("images", "delete", "--yes", image)
    for directory in ("http://host/staging", "swift://staging", "file://host/staging", "file://staging/"):
        site.configure(staging={"directory": directory})
        printed = site.imageport("images", "list", code=2).stderr
        assert "imageport.yaml:1:" in printed
        assert "staging.directory" in printed
