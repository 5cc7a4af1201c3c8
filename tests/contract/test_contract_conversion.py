from __future__ import annotations

import gzip
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.contract.disks import (
    MIB,
    ODD_PARTITION,
    PARTITION,
    converted,
    iso,
    qemu_img,
    raw_disk,
    with_boot_record,
)
from tests.contract.site import Outcome, Site, step

Step = str | Mapping[str, Any]

DISK = raw_disk()
CONVERT = "image_conversion"


def both_ways(site: Site, content: bytes | Path, *steps: Step, **formats: str) -> Iterator[Outcome]:
    """Import *content* by web-download, and from staging."""
    body = content.read_bytes() if isinstance(content, Path) else content
    url = site.server.publish("/image", body)
    yield site.run(url, image=site.create(**formats), steps=steps)
    staged = site.create(**formats)
    site.stage(staged, body)
    yield site.run(image=staged, steps=steps)


def assert_refused(site: Site, done: Outcome, message: str, code: str = "verification-failed") -> None:
    """The import failed with this *message* and left a queued image with its formats as they were."""
    assert done.error["code"] == code, done.error
    assert message in done.error["message"]
    assert done.error["hint"]
    site.assert_rolled_back(done, failed="s1")


def test_084_a_qcow2_is_stored_as_the_raw_disk_in_it(site: Site, tmp_path: Path) -> None:
    """A qcow2 of 3 MiB with output format raw: disk_format raw, container bare, size and virtual size 3 MiB, the
    digests are those of the raw disk, and both scratch files are gone."""
    for done in both_ways(site, converted(tmp_path, DISK, "qcow2"), CONVERT, disk_format="qcow2"):
        assert done.code == 0, done.report["error"]
        expected = {
            "status": "active",
            "disk_format": "raw",
            "container_format": "bare",
            "size": 3 * MIB,
            "virtual_size": 3 * MIB,
            "checksum": hashlib.md5(DISK).hexdigest(),
            "os_hash_value": hashlib.sha512(DISK).hexdigest(),
        }
        assert {name: done.image[name] for name in expected} == expected
        assert site.stored()["s1"][done.image["id"]] == DISK
        assert site.staged() == []


@pytest.mark.parametrize("output_format", ["raw", "qcow2"])
def test_085_an_image_in_the_output_format_is_left_as_it_is(
    site: Site, tmp_path: Path, output_format: str
) -> None:
    """Raw with output format raw, and qcow2 with output format qcow2: the bytes do not change, and virtual_size is
    set."""
    image = converted(tmp_path, DISK, output_format)
    convert = step(CONVERT, output_format=output_format)
    for done in both_ways(site, image, convert, disk_format=output_format):
        assert done.code == 0, done.report["error"]
        assert done.image["disk_format"] == output_format
        assert done.image["virtual_size"] == 3 * MIB
        assert site.stored()["s1"][done.image["id"]] == image.read_bytes()


@pytest.mark.parametrize(("declared", "actual"), [("qcow2", "raw"), ("raw", "qcow2")])
def test_086_an_image_that_is_not_what_is_declared_is_refused(
    site: Site, tmp_path: Path, declared: str, actual: str
) -> None:
    """Declared qcow2 but raw bytes, or declared raw but qcow2 bytes: refused; the image is queued, and not locked
    for any method."""
    for done in both_ways(site, converted(tmp_path, DISK, actual), CONVERT, disk_format=declared):
        assert_refused(site, done, f"disk_format is {declared}, but the image is {actual}")
        assert done.image["disk_format"] == declared


def test_087_an_image_that_refers_to_other_files_is_never_converted(site: Site, tmp_path: Path) -> None:
    """A backing file, a data file, a vmdk of type monolithicFlat, any vmdk when the list of allowed types is empty,
    and a vmdk without a type are refused before qemu-img converts anything."""
    base = converted(tmp_path, DISK, "qcow2")
    overlay = tmp_path / "overlay.qcow2"
    qemu_img("create", "-f", "qcow2", "-F", "qcow2", "-b", base, overlay)
    outside = tmp_path / "outside.qcow2"
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={tmp_path / 'data.raw'}", outside, "1M")
    (tmp_path / "flat").mkdir()
    flat = converted(tmp_path / "flat", DISK, "vmdk", "-o", "subformat=monolithicFlat")
    sparse = converted(tmp_path, DISK, "vmdk", "-o", "subformat=monolithicSparse")
    untyped = tmp_path / "untyped.vmdk"
    untyped.write_bytes(sparse.read_bytes().replace(b"createType=", b"creatorType", 1))
    called = tmp_path / "called"
    site.program("qemu-img", f'mkdir -p \'{called}\'/"$1"; exec "$real" "$@"')
    cases: list[tuple[Path, str, str, dict[str, Any]]] = [
        (overlay, "qcow2", "backing file", {}),
        (outside, "qcow2", "external data file", {}),
        (flat, "vmdk", "descriptor", {}),
        (sparse, "vmdk", "allowed: none", {"vmdk_allowed_types": []}),
        (untyped, "vmdk", "not safe", {}),
    ]
    for image, declared, message, options in cases:
        for done in both_ways(site, image, step(CONVERT, **options), disk_format=declared):
            assert_refused(site, done, message, "unsupported-format" if options else "verification-failed")
    # An image that names no other file is passed to qemu-img, which finds the type of a vmdk.
    assert [path.name for path in called.iterdir()] == ["info"]


def test_088_an_iso_is_an_iso_or_refused(site: Site, tmp_path: Path) -> None:
    """An iso declared iso passes conversion untouched, also a hybrid one with a boot record; declared raw or qcow2
    it is refused."""
    plain = iso(tmp_path)
    hybrid = with_boot_record(plain, PARTITION)
    for image in (plain, hybrid):
        for done in both_ways(site, image, CONVERT, disk_format="iso"):
            assert done.code == 0, done.report["error"]
            assert done.image["disk_format"] == "iso"
            assert site.stored()["s1"].pop(done.image["id"]) == image
            site.imageport("images", "delete", "--yes", done.image["id"])
    for declared in ("raw", "qcow2"):
        for done in both_ways(site, plain, CONVERT, disk_format=declared):
            assert_refused(site, done, f"disk_format is {declared}, but the image is iso")


@pytest.mark.parametrize(
    ("program", "script", "message", "code"),
    [
        ("qemu-img", "exit 1", "qemu-img failed (exit code 1, no message)", "transform-failed"),
        ("qemu-nbd", "exit 1", "qemu-nbd failed (exit code 1, no message)", "transform-failed"),
        ("qemu-img", 'echo careful >&2; exec "$real" "$@"', "careful", "transform-failed"),
        (
            "qemu-img",
            """echo '{"format": "raw", "virtual-size": 1}'""",
            "the image is qcow2, but qemu-img takes it for raw",
            "verification-failed",
        ),
        ("qemu-img", "kill -XCPU $$", "CPU time", "limit-exceeded"),
    ],
    ids=["info fails", "convert fails", "complains", "disagrees", "cpu"],
)
def test_089_trouble_with_qemu_img_fails_the_import(
    site: Site, tmp_path: Path, program: str, script: str, message: str, code: str
) -> None:
    """qemu-img is missing (reported before anything starts), exits with an error, writes to standard error, takes the
    image for something else, or exceeds its CPU time: the import fails and the scratch folder is clean."""
    image = converted(tmp_path, DISK, "qcow2")
    site.program(program, script)
    for done in both_ways(site, image, CONVERT, disk_format="qcow2"):
        assert_refused(site, done, message, code)
    site.without_programs()
    done = site.run(image, image=site.create(disk_format="qcow2"), steps=[CONVERT])
    site.assert_refused(done, code="pipeline-invalid")
    assert "qemu-img" in str(done.error["problems"])


@pytest.mark.parametrize(
    ("inside", "message"),
    [("qcow2", "it looks like qcow2"), ("odd partition", "invalid boot flag")],
    ids=["another format", "unsafe"],
)
def test_090_a_disk_that_pretends_to_be_something_else_is_refused(
    site: Site, tmp_path: Path, inside: str, message: str
) -> None:
    """The converted disk is found to be of another format than asked for, or unsafe: the import fails."""
    disk = with_boot_record(DISK, ODD_PARTITION)
    if inside == "qcow2":
        disk = converted(tmp_path, DISK, "qcow2").read_bytes()
    disguised = converted(tmp_path, disk + bytes(-len(disk) % 512), "qcow2")
    for done in both_ways(site, disguised, CONVERT, disk_format="qcow2"):
        assert_refused(site, done, message)


def test_091_a_vhd_is_converted_and_a_failure_restores_its_format(site: Site, tmp_path: Path) -> None:
    """A vhd becomes raw. When the import fails after that, the format in the record is vhd again."""
    image = converted(tmp_path, DISK, "vpc", "-o", "subformat=dynamic,force_size=on")
    for done in both_ways(site, image, CONVERT, disk_format="vhd"):
        assert done.code == 0, done.report["error"]
        assert done.image["disk_format"] == "raw"
        assert site.stored()["s1"][done.image["id"]] == DISK
        site.imageport("images", "delete", "--yes", done.image["id"])
    site.trouble("s1", "end")
    for done in both_ways(site, image, CONVERT, disk_format="vhd", container_format="bare"):
        assert_refused(site, done, "s1 broke", "store-failed")
        assert done.image["disk_format"] == "vhd"
        assert done.image["container_format"] == "bare"


def test_092_unpacking_comes_before_converting(site: Site, tmp_path: Path) -> None:
    """Decompression, then conversion, of a gzip of a qcow2: the raw disk is stored. The reverse order is refused
    before anything starts."""
    image = gzip.compress(converted(tmp_path, DISK, "qcow2").read_bytes())
    for done in both_ways(site, image, "image_decompression", CONVERT, disk_format="qcow2"):
        assert done.code == 0, done.report["error"]
        assert done.image["disk_format"] == "raw"
        assert site.stored()["s1"][done.image["id"]] == DISK
        site.imageport("images", "delete", "--yes", done.image["id"])
    for done in both_ways(site, image, CONVERT, "image_decompression", disk_format="qcow2"):
        site.assert_refused(done, code="pipeline-invalid")
        assert "image_decompression" in str(done.error["problems"])


def test_093_an_unknown_plugin_is_refused_at_the_start(site: Site) -> None:
    """A step that is not installed: refused before anything is fetched, with the names that are meant perhaps."""
    url = site.server.publish("/image", DISK)
    done = site.run(url, image=site.create(), steps=["image_conversoin"])
    site.assert_refused(done, code="pipeline-invalid")
    assert "image_conversion" in str(done.error["problems"])
    assert site.server.requests == []
