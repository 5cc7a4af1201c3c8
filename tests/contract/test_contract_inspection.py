from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.contract.disks import (
    MIB,
    ODD_PARTITION,
    PARTITION,
    converted,
    iso,
    packed,
    qemu_img,
    raw_disk,
    with_boot_record,
)
from tests.contract.site import Site

GARBAGE = random.Random(95).randbytes(100_000)


def test_094_the_virtual_size_is_read_from_the_header(site: Site, tmp_path: Path) -> None:
    """A bare qcow2 with 5 MiB in its header has a virtual size of 5 MiB, a raw disk that of its bytes; an aki has
    none and is accepted."""
    qcow2 = tmp_path / "five.qcow2"
    qemu_img("create", "-f", "qcow2", qcow2, "5M")
    for disk_format, content, virtual_size in (
        ("qcow2", qcow2.read_bytes(), 5 * MIB),
        ("raw", GARBAGE, len(GARBAGE)),
        ("aki", GARBAGE, None),
    ):
        done = site.run(content, image=site.create(disk_format=disk_format))
        assert done.code == 0, done.report["error"]
        assert done.image["disk_format"] == disk_format
        assert done.image["virtual_size"] == virtual_size
        assert done.image["size"] == len(content)


def test_095_bytes_of_another_format_than_declared_are_refused(site: Site) -> None:
    """Bare, declared qcow2, random bytes: the import fails and nothing is left in any store; it works once the
    disk_format is corrected. With require_image_format_match false it becomes active as it is."""
    image = site.create(disk_format="qcow2")
    url = site.server.publish("/image", GARBAGE)
    done = site.run(url, image=image, stores=["s1", "s2"])
    assert done.error["code"] == "verification-failed"
    assert done.error["message"] == "disk_format is qcow2, but the image is raw"
    site.assert_rolled_back(done, failed="s1,s2")
    site.imageport("images", "set", image, "--disk-format", "raw")
    done = site.run(url, image=image, stores=["s1", "s2"])
    assert done.image["status"] == "active"
    assert site.stored() == {"s1": {image: GARBAGE}, "s2": {image: GARBAGE}}
    site.configure(require_image_format_match=False)
    done = site.run(url, image=site.create(disk_format="qcow2"))
    assert done.image["status"] == "active"
    assert done.image["disk_format"] == "qcow2"


@pytest.mark.parametrize("at_once", [1, 3])
def test_096_a_backing_file_is_refused_however_many_stores_are_written_at_once(
    site: Site, tmp_path: Path, at_once: int
) -> None:
    """A qcow2 with a backing file, declared qcow2: the import fails when stores are written one after another and
    when they are written at the same time. An iso with a partition table, declared iso, becomes active."""
    site.configure(limits={"max_parallel_stores": at_once})
    base = converted(tmp_path, raw_disk(), "qcow2")
    overlay = tmp_path / "overlay.qcow2"
    qemu_img("create", "-f", "qcow2", "-F", "qcow2", "-b", base, overlay)
    done = site.run(overlay, image=site.create(disk_format="qcow2"), all_stores=True)
    assert done.error["code"] == "verification-failed"
    assert "backing file" in done.error["message"]
    site.assert_rolled_back(done, failed="s1,s2,s3")
    hybrid = with_boot_record(iso(tmp_path), PARTITION)
    done = site.run(hybrid, image=site.create(disk_format="iso"), all_stores=True)
    assert done.image["status"] == "active"
    assert site.stored() == {store: {done.image["id"]: hybrid} for store in ("s1", "s2", "s3")}


def test_097_an_odd_boot_record_is_refused_unless_the_site_forgives_it(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A raw disk whose boot record has a flag that is none: refused; accepted with a warning when the check mbr is
    listed as nonfatal, also through a conversion that leaves it raw. The container ova is not inspected."""
    odd = with_boot_record(raw_disk(), ODD_PARTITION)
    ways = (
        (odd, ()),
        (odd, ("image_conversion",)),
        (site.server.publish("/odd", odd), ("image_conversion",)),
    )
    for source, steps in ways:
        done = site.run(source, image=site.create(), steps=steps)
        assert done.error["code"] == "verification-failed"
        assert "invalid boot flag" in done.error["message"]
        site.assert_rolled_back(done, failed="s1")
    site.configure(gpt_safety_checks_nonfatal=["mbr"])
    for source, steps in ways:
        caplog.clear()
        done = site.run(source, image=site.create(), steps=steps)
        assert done.code == 0, done.report["error"]
        assert done.image["virtual_size"] == 3 * MIB
        assert "invalid boot flag" in caplog.text
    site.configure(gpt_safety_checks_nonfatal=["mrb"])
    assert "'mbr'" in site.imageport("images", "list", code=2).stderr
    site.configure(gpt_safety_checks_nonfatal=None)
    archive = packed(tmp_path, "tar", descriptor=b"<Envelope/>", disk=odd)
    done = site.run(archive, image=site.create(disk_format="vmdk", container_format="ova"))
    assert done.image["status"] == "active"
    assert done.image["virtual_size"] is None
