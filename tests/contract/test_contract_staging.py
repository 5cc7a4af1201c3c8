from __future__ import annotations

import socket
import uuid

import pytest
from tests.contract.site import Outcome, Site

BODY = b"disk\0" * 1000


def assert_over_quota(done: Outcome, *words: str) -> None:
    """Require the error of a quota, with the usage and the wanted amount."""
    assert (done.code, done.error["code"]) == (7, "over-quota"), done.error
    for word in words:
        assert word in done.error["message"]


def assert_not_staged(site: Site, image: str, quota: str) -> None:
    """Staging data for *image* is refused because of *quota*, and leaves nothing."""
    before = site.staged()
    assert f"over quota {quota}" in site.stage(image, BODY, code=7).stderr
    record = site.show(image)
    assert (record["status"], record["size"], site.staged()) == ("queued", None, before)


def test_098_what_belongs_to_no_image_goes_from_staging(site: Site) -> None:
    """In staging are foo, a file with the id of an image that is gone, two more that begin with such an id, .qcow2 and
    .uc, and the data of an image that is there: 'gc' removes only the three. Glance does this when it starts; here it
    is a command, which can also list the files without removing them."""
    live = site.create()
    site.stage(live, BODY)
    stale = [f"{uuid.uuid4()}{suffix}" for suffix in ("", ".qcow2", ".uc")]
    for name in ("foo", *stale):
        (site.folder / "staging" / name).write_bytes(b"left")
    printed = site.imageport("gc", "--dry-run").stdout
    assert [name for name in ("foo", live, *stale) if name in printed] == stale
    assert site.staged() == sorted(["foo", live, *stale])
    site.imageport("gc")
    assert site.staged() == sorted(["foo", live])


def test_099_data_that_is_staged_elsewhere_is_asked_for_there(site: Site) -> None:
    """Two machines share a catalog, each with its staging directory. Data is staged on one, the import is run
    on the other: a conflict that names the first, and the data stays; on the first it works, and so it does when the
    second stages the data as well. An image that is staged elsewhere is deleted also while that machine is down."""

    def be(machine: str) -> None:
        site.configure(staging={"directory": f"staging/{machine}"})

    for way in ("import there", "stage here", "delete here"):
        be("first")
        image = site.create()
        site.stage(image, BODY)
        be("second")
        done = site.run(image=image)
        site.assert_refused(done, code="conflict")
        assert f"in staging on {socket.gethostname()}" in done.error["message"]
        assert (site.show(image)["status"], site.staged()) == ("uploading", [f"first/{image}"])
        if way != "delete here":
            if way == "stage here":
                site.stage(image, BODY)
            else:
                be("first")
            done = site.run(image=image)
            assert done.code == 0, done.error
            assert site.stored() == {"s1": {image: BODY}}
        site.imageport("images", "delete", "--yes", image)
        site.imageport("images", "show", image, code=2)
        be("first")
        site.imageport("gc")
        assert site.staged() == []


@pytest.mark.parametrize("source", ["web-download", "staging"])
def test_100_an_image_that_is_deleted_during_its_import_leaves_nothing(site: Site, source: str) -> None:
    """The image is deleted while its data is written: it is gone, staging is empty, no store has any bytes, and its
    activation is never reported. The import ends with an error that gives this reason."""
    site.trouble("s2", waits=True)
    image = site.create()
    url = site.server.publish("/disk", BODY) if source == "web-download" else None
    if url is None:
        site.stage(image, BODY)
    running = site.start(url, image=image, stores=["s1", "s2"])
    running.until("task.processing")
    site.imageport("images", "delete", "--yes", image)
    site.let_go("s2")
    done = running.finish()
    assert (done.code, done.error["code"]) == (7, "lock-lost")
    assert "was deleted" in done.error["message"]
    site.imageport("images", "show", image, code=2)
    assert site.stored() == {}
    assert site.staged() == []
    kinds = [event["event_type"] for event in site.notifications()]
    assert "image.delete" in kinds
    assert "image.activate" not in kinds
    assert "image.activate" not in [event["type"] for event in done.events]
    assert site.imageport("gc").stdout == "nothing to clean up\n"


def test_101_quotas_on_bytes_are_kept(site: Site) -> None:
    """An owner who has too much already is refused at once (413), whatever the image. An import that would bring too
    much fails its task, which names what is used and what is wanted; the image is not locked, what was staged for it
    is gone, and it can be staged again. Staging too much is refused (413). A copy of more than may be staged fails its
    task, and the image stays active. When an import is over, what it staged counts no more."""
    first = site.run(BODY, image=site.create()).image["id"]

    site.configure(quotas={"image_size_total": 4999})
    for image in (site.create(), "nowhere"):
        done = site.run(BODY, image=image)
        assert_over_quota(done, "image_size_total", "bytes used 5000", "limit 4999")
        assert done.task == {}

    site.configure(quotas={"image_size_total": 9999})
    image = site.create()
    site.stage(image, BODY)
    done = site.run(image=image)
    assert_over_quota(done, "bytes used 5000", "wanted 5000 more", "limit 9999")
    assert "wanted 5000 more" in done.task["message"]
    assert (done.task["status"], done.image["status"], done.lists[0]) == ("failure", "queued", "")
    assert "os_glance_import_task" not in done.image["properties"]
    assert (site.staged(), site.stored()) == ([], {"s1": {first: BODY}})
    site.configure(quotas={"image_size_total": 10000, "image_stage_total": 5000})
    site.stage(image, BODY)

    other = site.create()
    assert_not_staged(site, other, "image_stage_total")
    assert site.run(image=image).code == 0
    site.imageport("images", "delete", "--yes", first)
    site.stage(other, BODY)
    assert site.run(image=other).code == 0

    site.configure(quotas={"image_stage_total": 4999})
    done = site.run(None, "--role", "admin", image=other, method="copy-image", stores=["s2"])
    assert_over_quota(done, "image_stage_total", "wanted 5000 more")
    assert (done.task["status"], done.image["status"], done.lists[0]) == ("failure", "active", "")
    assert [location["store"] for location in done.image["locations"]] == ["s1"]


def test_102_only_so_many_images_are_brought_at_a_time(site: Site) -> None:
    """image_count_uploading is 1 and one image is staged: data for a second is refused (413), and so is a download,
    whose task fails. After the import of the first both work."""
    site.configure(quotas={"image_count_uploading": 1})
    first, second = site.create(), site.create()
    site.stage(first, BODY)
    assert_not_staged(site, second, "image_count_uploading")
    url = site.server.publish("/disk", BODY)
    done = site.run(url, image=second)
    assert_over_quota(done, "image_count_uploading", "images used 1", "wanted 1 more")
    assert (done.task["status"], done.image["status"]) == ("failure", "queued")
    assert site.run(image=first).code == 0
    site.stage(second, BODY)
    assert site.run(image=second).code == 0
    assert site.run(url, image=site.create()).code == 0
