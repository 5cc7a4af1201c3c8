from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.contract.disks import MIB, packed, raw_disk
from tests.contract.site import Outcome, Site, step

DISK = raw_disk(MIB)
UNPACK = "image_decompression"


def both_ways(site: Site, content: bytes) -> Iterator[Outcome]:
    """Import *content* by web-download, and from staging."""
    yield site.run(site.server.publish("/image", content), image=site.create(), steps=[UNPACK])
    staged = site.create()
    site.stage(staged, content)
    yield site.run(image=staged, steps=[UNPACK])


def assert_stored(site: Site, done: Outcome, content: bytes) -> None:
    """The image is active, *content* is what is stored, and nothing else is anywhere."""
    assert done.code == 0, done.report["error"]
    assert done.image["status"] == "active"
    assert done.image["size"] == len(content)
    assert done.image["checksum"] == hashlib.md5(content).hexdigest()
    assert done.image["os_hash_value"] == hashlib.sha512(content).hexdigest()
    assert site.stored() == {"s1": {done.image["id"]: content}}
    assert site.staged() == []
    site.imageport("images", "delete", "--yes", done.image["id"])


def assert_refused(site: Site, done: Outcome, message: str, code: str = "verification-failed") -> None:
    """The import failed with this *message* and nothing is left."""
    assert done.error["code"] == code, done.error
    assert message in done.error["message"]
    site.assert_rolled_back(done, failed="s1")


def zipped(*entries: tuple[str, bytes]) -> bytes:
    """Return a zip with entries of any names."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name), content)
    return target.getvalue()


def test_078_what_was_packed_is_stored(site: Site, tmp_path: Path) -> None:
    """A gzip of X, and a zip with X as its one entry, by web-download and from staging: the stored bytes are X,
    size and digests those of X."""
    for archive in (gzip.compress(DISK), packed(tmp_path, "zip", disk=DISK)):
        for done in both_ways(site, archive):
            assert_stored(site, done, DISK)


def test_079_archives_that_hold_no_single_whole_file_are_refused(site: Site, tmp_path: Path) -> None:
    """A zip with two entries, a gzip that was cut off, and one with a wrong CRC: the import fails, nothing is left
    in staging, the image is queued and can be imported again."""
    whole = gzip.compress(DISK)
    wrong = whole[:-8] + (zlib.crc32(DISK) ^ 1).to_bytes(4, "little") + whole[-4:]
    for archive, message in (
        (packed(tmp_path, "zip", one=DISK, two=DISK), "2 files"),
        (whole[:-100], "gzip"),
        (wrong, "gzip"),
    ):
        for done in both_ways(site, archive):
            assert_refused(site, done, message)
            again = site.run(whole, image=done.image["id"], steps=[UNPACK])
            assert_stored(site, again, DISK)


def test_080_an_lha_archive_is_unpacked(site: Site, tmp_path: Path) -> None:
    """An lha with one entry: stored is what was packed, and the size is its. With two entries, or damaged: the
    import fails and nothing is left. The library for lha is always there: Imageport depends on it."""
    one = packed(tmp_path, "lha", disk=DISK)
    for done in both_ways(site, one):
        assert_stored(site, done, DISK)
    for archive, message in (
        (packed(tmp_path, "lha", disk=DISK, more=DISK), "2 files"),
        (one[:-1000], "lha"),
    ):
        for done in both_ways(site, archive):
            assert_refused(site, done, message)
    needed = importlib.metadata.requires("imageport") or []
    assert [line for line in needed if line.startswith("lhafile") and ";" not in line]


def test_081_other_files_and_kept_archives_are_left_unchanged(site: Site, tmp_path: Path) -> None:
    """A file that is not an archive, a zip without an entry, and a gzip in the container compressed: stored as they
    are. A tar.gz is stored as tar in the containers ova and docker, and in every container when the option keep has
    tar; otherwise, unlike in Glance, the one file in the tar is stored."""
    archive = gzip.compress(DISK)
    tar = packed(tmp_path, "tar", disk=DISK)
    keep = step(UNPACK, keep=["tar"])
    for content, container, unpack, stored in (
        (DISK, "bare", UNPACK, DISK),
        (zipped(), "bare", UNPACK, zipped()),
        (archive, "compressed", UNPACK, archive),
        (gzip.compress(tar), "ova", UNPACK, tar),
        (gzip.compress(tar), "docker", UNPACK, tar),
        (gzip.compress(tar), "bare", keep, tar),
        (gzip.compress(tar), "bare", UNPACK, DISK),
    ):
        url = site.server.publish("/image", content)
        done = site.run(url, image=site.create(container_format=container), steps=[unpack])
        assert_stored(site, done, stored)


def test_082_names_in_an_archive_are_never_names_of_files(site: Site, tmp_path: Path) -> None:
    """A zip whose entry is named like another image whose data is staged, or ../x, or an absolute path, or with
    folders: only our own copy is written, what is staged for the other stays, and no folder appears. An encrypted
    zip is refused as such."""
    other = site.create()
    site.stage(other, b"data of another image")
    before = sorted(path for path in tmp_path.rglob("*") if path.is_dir())
    for name in (other, "../x", str(tmp_path / "x"), "a/b/../c/x", "folder/x"):
        done = site.run(zipped((name, DISK)), image=site.create(), steps=[UNPACK])
        assert done.code == 0, done.report["error"]
        assert site.stored() == {"s1": {done.image["id"]: DISK}}
        assert [Path(staged).name for staged in site.staged()] == [other]
        site.imageport("images", "delete", "--yes", done.image["id"])
    assert list(tmp_path.rglob("x")) == []
    created = {path.name for path in tmp_path.rglob("*") if path.is_dir()} - {path.name for path in before}
    assert created <= {"s1"}
    assert site.run(image=other).image["checksum"] == hashlib.md5(b"data of another image").hexdigest()
    site.imageport("images", "delete", "--yes", other)
    for done in both_ways(site, packed(tmp_path, "encrypted zip", disk=DISK)):
        assert_refused(site, done, "encrypted", "unsupported-format")


@pytest.mark.parametrize(
    ("limits", "options", "message"),
    [
        ({"image_size_cap": "32 MiB"}, {}, "unpacks to more than 32.0 MiB"),
        ({}, {"max_output": "2 MiB"}, "unpacks to more than 2.0 MiB"),
        ({}, {"max_ratio": 100}, "unpacks more than 100 to 1"),
    ],
    ids=["cap", "max output", "ratio"],
)
def test_083_a_bomb_is_stopped_early(
    site: Site, limits: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    """An archive that unpacks to more than the image size cap, than the step allows, or at a suspicious ratio:
    stopped while it is unpacked, and the scratch space is free again."""
    site.configure(limits=limits)
    # 16 GiB of letters in 16 MiB.
    bomb = gzip.compress(b"A" * (8 * MIB)) * 2048
    done = site.run(site.server.publish("/bomb", bomb), image=site.create(), steps=[step(UNPACK, **options)])
    assert_refused(site, done, message, "limit-exceeded")
    assert done.report["source"]["bytes_read"] < len(bomb)
