"""The other moments at which imports fail in Glance and leave something stuck, stored, locked or lost.

Those that are not here have a test elsewhere; the page docs/reference/glance-defects.md names all of them.
"""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.contract.disks import qemu_img, raw_disk
from tests.contract.site import Outcome, Running, Site

BODY = bytes(range(256)) * 100
STORES = ("s1", "s2", "s3")
METHODS = ["glance-direct", "web-download", "copy-image"]


def arranged(site: Site, method: str, body: bytes = BODY, **formats: str) -> str:
    """Return an image that *method* can bring; for a copy one that is in the store s3."""
    image = site.create("--property", "colour=blue", **formats)
    if method == "glance-direct":
        site.stage(image, body)
    if method == "copy-image":
        assert site.run(body, image=image, stores=["s3"]).code == 0
    return image


def how(
    site: Site, method: str, image: str, body: bytes = BODY
) -> tuple[str | None, list[str], dict[str, Any]]:
    """Return source, options and the rest of an import by *method* into s1 and s2."""
    source = site.server.publish("/disk", body) if method == "web-download" else None
    return source, ["--role", "admin"], {"image": image, "method": method, "stores": ["s1", "s2"]}


def run(site: Site, method: str, image: str, body: bytes = BODY, **rest: Any) -> Outcome:
    """Import by *method* into s1 and s2."""
    source, options, given = how(site, method, image, body)
    return site.run(source, *options, **{**given, **rest})


def start_and_wait(site: Site, method: str, image: str, store: str, **rest: Any) -> Running:
    """Import by *method* in a separate process, until *store* is being written."""
    source, options, given = how(site, method, image)
    running = site.start(source, *options, **{**given, **rest})
    running.until("task.processing")
    give_up = time.monotonic() + 60
    while f"begin {store}" not in site.journal():
        assert time.monotonic() < give_up
        time.sleep(0.02)
    return running


def assert_as_before(site: Site, method: str, done: Outcome) -> None:
    """The import left nothing: a queued image, or for a copy an active one in s3."""
    if method == "copy-image":
        assert done.image["status"] == "active"
        assert [copy["store"] for copy in done.image["locations"]] == ["s3"]
        assert site.stored() == {"s3": {done.image["id"]: BODY}}
        assert done.lists[0] == ""
        assert done.task["status"] == "failure"
        assert "os_glance_import_task" not in done.image["properties"]
        assert site.staged() == []
    else:
        site.assert_rolled_back(done, failed="s1,s2")


@pytest.mark.parametrize("method", METHODS)
def test_after_a_quota_has_ended_an_import_it_can_be_done_again(site: Site, method: str) -> None:
    """Over quota when the import is under way: nothing stays, staged data can be brought again, and when there is room
    the import works. Glance keeps the staged data of a queued image, so that nothing can be staged any more."""
    image = arranged(site, method)
    site.configure(quotas={"image_size_total": len(BODY) * 2 - 1 + len(BODY) * (method == "copy-image")})
    done = run(site, method, image)
    assert done.error["code"] == "over-quota"
    assert "image_size_total" in done.task["message"]
    assert_as_before(site, method, done)
    site.configure(quotas=None)
    if method == "glance-direct":
        site.stage(image, BODY)
    assert run(site, method, image).code == 0


def test_a_copy_that_cannot_be_fetched_does_not_count_for_ever(site: Site) -> None:
    """The only copy of an image cannot be read: what was to be written is in no list, and the quota of images that are
    being brought has room for the next one."""
    image = arranged(site, "copy-image")
    site.configure(quotas={"image_count_uploading": 1})
    (site.folder / "s3" / image).unlink()
    done = run(site, "copy-image", image)
    assert done.task["status"] == "failure"
    assert done.image["status"] == "active"
    assert done.lists == ("", "")
    assert site.stored() == {}
    other = site.create()
    site.stage(other, BODY)
    assert site.run(image=other).code == 0


@pytest.mark.parametrize("method", METHODS[:2])
@pytest.mark.parametrize("must", [True, False])
@pytest.mark.parametrize("at_once", [0, 1])
def test_refused_bytes_stay_in_no_store_and_block_none(
    site: Site, method: str, must: bool, at_once: int
) -> None:
    """A qcow2 with a backing file is refused when all of it was written: no store keeps it, whether or not all of them
    must succeed, and the same image can be stored in each of them when its bytes are sound."""
    site.configure(limits={"max_parallel_stores": at_once})
    base, overlay = site.folder / "base.qcow2", site.folder / "overlay.qcow2"
    qemu_img("create", "-f", "qcow2", base, "1M")
    qemu_img("create", "-f", "qcow2", "-F", "qcow2", "-b", base, overlay)
    image = arranged(site, method, overlay.read_bytes(), disk_format="qcow2")
    done = run(site, method, image, overlay.read_bytes(), must=must)
    assert done.error["code"] == "verification-failed"
    assert "backing file" in done.task["message"]
    assert_as_before(site, method, done)
    if method == "glance-direct":
        site.stage(image, base)
    again = run(site, method, image, base.read_bytes(), must=must)
    assert again.code == 0
    assert [copy["store"] for copy in again.image["locations"]] == ["s1", "s2"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("must", [True, False])
def test_an_image_that_is_deleted_while_a_store_is_written_leaves_no_bytes(
    site: Site, method: str, must: bool
) -> None:
    """Deleted while s2 is being written, after s1 has published where failures are allowed: nothing of it is left, and
    after image.delete no event reports that it was stored or became active."""
    image = arranged(site, method)
    site.trouble("s2", waits=True)
    running = start_and_wait(site, method, image, "s2", must=must)
    if not must:
        running.until("image.upload", store="s1")
    site.imageport("images", "delete", "--yes", image)
    site.let_go("s2")
    done = running.finish()
    assert done.error["code"] == "lock-lost"
    assert "deleted" in done.error["message"]
    assert done.image == {}
    assert done.task["status"] == "failure"
    site.imageport("images", "show", image, code=2)
    assert site.stored() == {}
    assert site.staged() == []
    kinds = [event["event_type"] for event in site.notifications()]
    assert {"image.upload", "image.activate"}.isdisjoint(kinds[kinds.index("image.delete") :])


@pytest.mark.parametrize("fails", [True, False])
def test_what_a_user_changes_during_a_copy_is_not_lost(site: Site, fails: bool) -> None:
    """The user changes name and properties while s2 is being written: that survives, however the copy ends."""
    image = arranged(site, "copy-image")
    site.trouble("s2", *(["end"] if fails else []), waits=True)
    running = start_and_wait(site, "copy-image", image, "s2")
    change = ("--name", "mine", "--property", "colour=red", "--property", "added=later")
    site.imageport("images", "set", image, *change)
    site.let_go("s2")
    done = running.finish()
    assert done.task["status"] == ("failure" if fails else "success")
    assert done.image["name"] == "mine"
    properties = done.image["properties"]
    assert (properties["colour"], properties["added"]) == ("red", "later")
    assert done.lists == ("", "s2" if fails else "")


def test_nothing_is_shown_to_qemu_img_before_its_digest_is_verified(site: Site) -> None:
    """Another digest than the expected one, where the image is to be converted: qemu-img is never started."""
    called = site.folder / "called"
    site.program("qemu-img", f'touch \'{called}\'; exec "$real" "$@"')
    disk = site.folder / "disk.qcow2"
    disk.write_bytes(raw_disk(300 * 1024))
    qemu_img("create", "-f", "qcow2", disk, "1M")
    wrong = "sha256:" + "0" * 64
    expecting: dict[str, Any] = {"use": "web-download", "with": {"checksum": wrong}}
    check = {"use": "checksum", "with": {"expected": wrong}}
    url = site.server.publish("/disk", disk.read_bytes())
    for source, method, steps in (
        (url, expecting, ["image_conversion"]),
        (url, None, [check, "image_conversion"]),
        (disk, None, [check, "image_conversion"]),
    ):
        done = site.run(source, image=site.create(disk_format="qcow2"), method=method, steps=steps)
        assert done.error["code"] == "verification-failed"
        assert "0" * 64 in done.error["message"]
        site.assert_rolled_back(done, failed="s1")
    assert not called.exists()
