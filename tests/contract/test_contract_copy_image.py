from __future__ import annotations

from typing import Any

from tests.contract.site import Outcome, Site

BODY = bytes(range(256)) * 100
STORES = ("s1", "s2", "s3")


def imported(site: Site, *stores: str, options: tuple[str, ...] = ()) -> str:
    """Return an active image that is in *stores*."""
    done = site.run(BODY, image=site.create(*options), stores=stores)
    assert done.image["status"] == "active"
    return str(done.image["id"])


def copied(site: Site, image: str, *options: str, role: str = "admin", **how: Any) -> Outcome:
    """Copy *image*, as a caller with *role*."""
    return site.run(None, "--role", role, *options, image=image, method="copy-image", **how)


def stores_of(done: Outcome) -> list[str]:
    """Return the stores that the record names."""
    return [copy["store"] for copy in done.image["locations"]]


def test_054_an_image_is_copied_to_further_stores(site: Site) -> None:
    """Active in s1, stores s2 and s3 are asked for: both are filled, the status is active all the time, and a second
    task is listed for the image. Plugins are not run: a pipeline that copies and has steps is refused."""
    image = imported(site, "s1")
    done = copied(site, image, stores=["s2", "s3"])
    assert done.code == 0
    assert stores_of(done) == ["s1", "s2", "s3"]
    assert site.stored() == {store: {image: BODY} for store in STORES}
    assert {event["record"]["status"] for event in done.events if "record" in event} == {"active"}
    assert "image.activate" not in [event["type"] for event in done.events]
    assert [task["status"] for task in site.tasks(image)] == ["success", "success"]
    refused = copied(site, imported(site, "s1"), stores=["s2"], steps=["no_op"])
    assert refused.error["code"] == "pipeline-invalid"
    assert "no steps run" in str(refused.error["problems"])


def test_055_stores_that_hold_the_image_are_left_alone(site: Site) -> None:
    """Stores s1 and s2 are asked for, s1 has the image: refused. All stores are asked for, s1 has it: only s2 and s3
    are written. Every store has it: success, and no task."""
    image = imported(site, "s1")
    for store in STORES:
        site.trouble(store)
    refused = copied(site, image, stores=["s1", "s2"])
    assert refused.code == 2
    assert refused.error["message"] == f"store s1 holds image {image} already"
    assert refused.task == {}
    assert site.journal() == []
    done = copied(site, image, all_stores=True)
    assert done.code == 0
    assert sorted(site.journal()) == ["begin s2", "begin s3", "end s2", "end s3"]
    assert site.stored() == {store: {image: BODY} for store in STORES}
    assert copied(site, image, all_stores=True).code == 0
    assert len(site.journal()) == 4
    assert len(site.tasks(image)) == 2


def test_056_a_failed_copy_leaves_the_copies_that_were_there(site: Site) -> None:
    """All stores must succeed, s3 is broken: the copy in s2 goes, that in s1 stays, and s3 is in the failed list.
    Tried again with failures allowed: s1 and s2 have the image, s3 has failed."""
    image = imported(site, "s1")
    site.trouble("s3", "end")
    done = copied(site, image, all_stores=True)
    assert done.error["store"] == "s3"
    assert done.task["status"] == "failure"
    assert done.image["status"] == "active"
    assert stores_of(done) == ["s1"]
    assert site.stored() == {"s1": {image: BODY}}
    assert done.lists == ("", "s3")
    again = copied(site, image, all_stores=True, must=False)
    assert again.code == 0
    assert stores_of(again) == ["s1", "s2"]
    assert site.stored() == {"s1": {image: BODY}, "s2": {image: BODY}}
    assert again.lists == ("", "s3")


def test_057_staged_data_of_the_right_size_is_used(site: Site) -> None:
    """What an earlier attempt has left in staging is used, and the source not read, when its size is right; of another
    size it is replaced by what a store has."""
    image = imported(site, "s1")
    leftover = site.folder / "staging" / image
    leftover.parent.mkdir(exist_ok=True)
    original = site.folder / "s1" / image
    hidden = original.rename(site.folder / "hidden")
    leftover.write_bytes(BODY)
    assert copied(site, image, stores=["s2"]).code == 0
    assert site.stored() == {"s2": {image: BODY}}
    assert site.staged() == []
    hidden.rename(original)
    leftover.write_bytes(BODY[:-1])
    assert copied(site, image, stores=["s3"]).code == 0
    assert site.stored() == {store: {image: BODY} for store in STORES}
    assert site.staged() == []


def test_058_another_copy_serves_when_the_first_is_missing(site: Site) -> None:
    """The copy in the default store is missing, s2 has one: that is read. All are missing: the task fails, the image
    stays active, and both lists are empty."""
    image = imported(site, "s1", "s2")
    (site.folder / "s1" / image).unlink()
    done = copied(site, image, stores=["s3"])
    assert done.code == 0
    assert site.stored() == {"s2": {image: BODY}, "s3": {image: BODY}}
    lost = imported(site, "s1", "s2")
    for store in ("s1", "s2"):
        (site.folder / store / lost).unlink()
    done = copied(site, lost, stores=["s3"])
    assert done.error["code"] == "store-failed"
    assert "no copy" in done.error["message"]
    assert done.task["status"] == "failure"
    assert done.image["status"] == "active"
    assert done.lists == ("", "")


def test_059_a_copy_that_no_store_takes_fails(site: Site) -> None:
    """Failures are allowed, and every store is broken: the task fails, and the image is as it was."""
    image = imported(site, "s1")
    before = site.show(image)
    for store in ("s2", "s3"):
        site.trouble(store, "middle")
    done = copied(site, image, all_stores=True, must=False)
    assert done.error["code"] == "store-failed"
    assert done.task["status"] == "failure"
    assert done.lists == ("", "s2,s3")
    assert site.stored() == {"s1": {image: BODY}}
    for record in (before, done.image):
        del record["updated_at"], record["properties"]
    assert done.image == before


def test_060_the_policy_decides_who_may_copy(site: Site) -> None:
    """A caller without the role admin copies a public image of another owner: not allowed by default. With a policy
    that allows it for public images it works, and the owner stays the owner."""
    image = imported(site, "s1", options=("--visibility", "public", "--role", "admin"))
    refused = copied(site, image, "--user", "other", role="member", stores=["s2"])
    assert refused.code == 2
    assert refused.error["code"] == "not-allowed"
    assert "policy copy_image" in refused.error["message"]
    assert refused.task == {}
    site.configure(policy={"copy_image": "role:admin or visibility:public"})
    done = copied(site, image, "--user", "other", role="member", stores=["s2"])
    assert done.code == 0
    assert done.image["owner"] == "tester"
    assert site.stored() == {"s1": {image: BODY}, "s2": {image: BODY}}
