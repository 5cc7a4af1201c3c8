from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.contract.remote_glance import publish_remote
from tests.contract.site import Site, step
from tests.imageport_builtin.test_image_signature import EC_ID, Signer, certificate_of

BODY = bytes(range(256)) * 100


def assert_can_start_over(site: Site, image: str) -> None:
    """The image that failed can be imported into all stores from a url, and another time from staging."""
    site.stage(image, BODY)
    assert site.run(image=image, all_stores=True).image["status"] == "active"
    site.imageport("images", "delete", "--yes", image)
    assert site.stored() == {}


def test_041_an_image_goes_into_two_stores(site: Site) -> None:
    """Stores s1 and s2, all well: active, in s1 and s2, each has the bytes, and there is one record of digests."""
    image = site.create()
    done = site.run(BODY, image=image, stores=["s1", "s2"])
    assert done.code == 0
    assert done.image["status"] == "active"
    assert [copy["store"] for copy in done.image["locations"]] == ["s1", "s2"]
    assert site.stored() == {"s1": {image: BODY}, "s2": {image: BODY}}
    assert done.image["size"] == len(BODY)
    assert done.image["checksum"] == hashlib.md5(BODY).hexdigest()
    assert done.image["os_hash_value"] == hashlib.sha512(BODY).hexdigest()
    assert done.lists == ("", "")


def test_042_all_stores_are_those_that_can_be_written(site: Site) -> None:
    """All stores: s1, s2 and s3, but neither the read-only w nor the staging directory."""
    image = site.create()
    done = site.run(BODY, image=image, all_stores=True)
    assert done.code == 0
    assert site.stored() == {store: {image: BODY} for store in ("s1", "s2", "s3")}
    assert list(done.report["stores"]) == ["s1", "s2", "s3"]
    assert site.staged() == []


def assert_one_failing_store_fails_the_import(site: Site, broken: str) -> None:
    """With one store of three broken nothing is left, whatever the method, and the image can be imported again."""
    url = site.server.publish("/disk", BODY)
    for source in (url, None):
        image = site.create()
        site.trouble(broken, "middle")
        if source is None:
            site.stage(image, BODY)
        done = site.run(source, image=image, all_stores=True)
        assert done.error["code"] == "store-failed"
        assert done.error["store"] == broken
        site.assert_rolled_back(done, failed=broken)
        site.trouble(broken)
        assert_can_start_over(site, image)


def test_043_one_failing_store_fails_the_import(site: Site) -> None:
    """All stores must succeed, s2 of three is broken: the task fails, s1 and s3 hold nothing, the image is queued
    without a checksum, only s2 is in the failed list, nothing is locked, and the user can stage and import again."""
    assert_one_failing_store_fails_the_import(site, "s2")


@pytest.mark.parametrize("broken", ["s1", "s3"])
def test_044_it_does_not_matter_which_store_fails(site: Site, broken: str) -> None:
    """All stores must succeed and the first is broken, or the last: as in 43, with that store in the list."""
    assert_one_failing_store_fails_the_import(site, broken)


def test_045_others_may_go_on_without_a_failing_store(site: Site) -> None:
    """Not all stores must succeed, s2 is broken: active, in s1 and s3, s2 is in the failed list, the task is a
    success, and nothing is in staging any more."""
    image = site.create()
    site.trouble("s2", "middle")
    site.stage(image, BODY)
    done = site.run(image=image, all_stores=True, must=False)
    assert done.code == 0
    assert done.image["status"] == "active"
    assert [copy["store"] for copy in done.image["locations"]] == ["s1", "s3"]
    assert site.stored() == {"s1": {image: BODY}, "s3": {image: BODY}}
    assert done.lists == ("", "s2")
    assert done.task["status"] == "success"
    assert "s2 broke: middle" in done.report["stores"]["s2"]["error"]
    assert site.staged() == []


def test_046_the_first_copy_can_be_read_while_others_are_written(site: Site) -> None:
    """Not all stores must succeed: the image can be read as soon as s1 is done, while the slow s3 is being written."""
    image = site.create()
    site.trouble("s3", waits=True)
    running = site.start(BODY, image=image, stores=["s1", "s3"], must=False)
    running.until("image.activate")
    assert site.show(image)["status"] == "active"
    site.imageport("images", "export", image, "read")
    assert (site.folder / "read").read_bytes() == BODY
    assert site.tasks(image)[0]["status"] == "processing"
    site.let_go("s3")
    done = running.finish()
    assert done.code == 0
    assert site.stored() == {"s1": {image: BODY}, "s3": {image: BODY}}


def test_047_with_every_store_broken_the_import_fails(site: Site) -> None:
    """Not all stores must succeed, and none does: the task fails, the image is queued, all stores are in the failed
    list, nothing is stored, and nothing is locked for any method."""
    glance = publish_remote(site.server, BODY)
    url = site.server.publish("/disk", BODY)
    for source, method in ((url, None), (BODY, None), (None, None), (None, glance)):
        image = site.create()
        for store in ("s1", "s2"):
            site.trouble(store, "end")
        if source is None and method is None:
            site.stage(image, BODY)
        done = site.run(source, image=image, method=method, stores=["s1", "s2"], must=False)
        assert done.error["code"] == "store-failed"
        assert "s1 broke: end" in done.error["message"]
        assert "s2 broke: end" in done.error["message"]
        site.assert_rolled_back(done, failed="s1,s2")
        for store in ("s1", "s2"):
            site.trouble(store)
        assert_can_start_over(site, image)


@pytest.mark.parametrize("must", [True, False])
def test_048_a_store_that_kept_something_else_has_failed(site: Site, must: bool) -> None:
    """s2 reports other bytes than it was given: the object on s2 goes, and when all stores must succeed so does that
    on s1. Digests are computed here and never asked of a store, so the number of bytes is all that it can report."""
    image = site.create()
    site.trouble("s2", "lie")
    done = site.run(BODY, image=image, stores=["s1", "s2"], must=must)
    assert f"took {len(BODY) + 1} bytes" in done.report["stores"]["s2"]["error"]
    if must:
        site.assert_rolled_back(done, failed="s2")
    else:
        assert done.code == 0
        assert done.lists == ("", "s2")
        assert site.stored() == {"s1": {image: BODY}}


def test_049_the_lists_of_stores_follow_the_import(site: Site) -> None:
    """During a slow import the list of stores to come shrinks store by store. Of the failed list those that are
    tried again go when the import starts, and the others stay."""
    image = site.create()
    for store in ("s1", "s2"):
        site.trouble(store, "begin")
    site.run(BODY, image=image, stores=["s1", "s2"], must=False)
    for store in ("s2", "s3"):
        site.trouble(store, waits=True)
    running = site.start(BODY, image=image, stores=["s2", "s3"], must=False)
    running.until("task.processing")
    lists = [_lists(site, image)]
    for store in ("s2", "s3"):
        site.let_go(store)
        event = running.until("image.upload", store=store)
        assert event["record"]["properties"]["os_glance_failed_import"] == "s1"
        running.until("image.update")
        lists.append(_lists(site, image))
    running.finish()
    assert lists == [("s2,s3", "s1"), ("s3", "s1"), ("", "s1")]


def _lists(site: Site, image: str) -> tuple[str, str]:
    properties = site.show(image)["properties"]
    return properties["os_glance_importing_to_stores"], properties["os_glance_failed_import"]


def test_050_a_copy_that_cannot_be_taken_back_is_reported(site: Site) -> None:
    """The roll back cannot delete from s1, which has become read-only: the record does not list the copy, the report
    names the orphan, and once s1 is repaired ``imageport gc`` removes it."""
    image = site.create()
    site.trouble("s1", "discard", "delete")
    site.trouble("s2", "publish")
    done = site.run(BODY, image=image, stores=["s1", "s2"])
    orphan = site.location("s1", image)
    assert done.error["store"] == "s2"
    assert done.report["orphans"] == [orphan]
    assert done.report["rolled_back"] is False
    assert done.report["stores"]["s1"]["status"] == "abandoned"
    assert done.image["status"] == "queued"
    assert done.image["locations"] == []
    assert done.lists == ("", "s2")
    assert site.stored() == {"s1": {image: BODY}}
    site.repair("s1")
    site.imageport("gc")
    site.assert_rolled_back(done, failed="s2")
    site.trouble("s2")
    assert_can_start_over(site, image)


def test_053_a_signature_decides_for_every_store(site: Site) -> None:
    """A signed image with a good signature becomes active everywhere. With a bad one it is queued, all stores are in
    the failed list, nothing is stored, and what was staged is removed."""
    signer = Signer(ec.generate_private_key(ec.SECP384R1()), "ECC_SECP384R1", EC_ID)
    certificates = site.folder / "certificates"
    certificates.mkdir()
    (certificates / f"{EC_ID}.pem").write_bytes(certificate_of(signer.key).public_bytes(Encoding.PEM))
    verify = step("image_signature", certificates=str(certificates))
    properties = [f"--property={name}={value}" for name, value in signer.signed(BODY).items()]
    for body in (BODY[:-1] + b"!", BODY):
        for source in (site.server.publish("/disk", body), None):
            image = site.create(*properties)
            if source is None:
                site.stage(image, body)
            done = site.run(source, image=image, steps=[verify], all_stores=True)
            if body == BODY:
                assert done.image["status"] == "active"
                assert [files[image] for files in site.stored().values()] == [BODY] * 3
                assert site.staged() == []
            else:
                assert done.error["code"] == "verification-failed"
                site.assert_rolled_back(done, failed="s1,s2,s3")
