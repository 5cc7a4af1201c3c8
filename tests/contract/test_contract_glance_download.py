from __future__ import annotations

import hashlib
import socket
from typing import Any

import pytest
from tests.contract.remote_glance import REMOTE_IMAGE, fetch_remote, publish_remote
from tests.contract.site import Outcome, Site, step

BODY = bytes(range(256)) * 100


def own_properties(image: dict[str, Any]) -> dict[str, str]:
    """Return the properties of an image but for Imageport's own."""
    found: dict[str, str] = image["properties"]
    return {name: value for name, value in found.items() if not name.startswith("os_glance")}


def assert_as_before(site: Site, before: dict[str, Any], done: Outcome) -> None:
    """The import failed, left nothing, and the record is what it was; it can be imported as soon as all is well."""
    site.assert_rolled_back(done, failed="s1")
    for name in ("name", "disk_format", "container_format", "min_disk", "tags", "visibility"):
        assert done.image[name] == before[name]
    assert own_properties(done.image) == own_properties(before)
    again = site.run(None, image=before["id"], method=publish_remote(site.server, BODY))
    assert again.image["status"] == "active"


def queued(site: Site) -> dict[str, Any]:
    """Return an image with formats and properties that the remote one has otherwise."""
    properties = ("--property", "own=kept", "--property", "os_distro=other")
    return site.show(site.create("--name", "mine", *properties, disk_format="iso", container_format="ova"))


def test_106_a_remote_image_comes_with_its_formats_and_some_properties(site: Site) -> None:
    """A remote image that is active: its formats and the properties with the configured prefixes are copied, nothing
    else is, and the digests are computed anew. When the remote size is wrong the import fails."""
    before = queued(site)
    # Without a digest there is nothing but the bytes to compute one from.
    method = publish_remote(site.server, BODY, os_hash_algo=None, os_hash_value=None, checksum=None)
    done = site.run(None, image=before["id"], method=method)
    assert done.code == 0, done.report["error"]
    assert (done.image["disk_format"], done.image["container_format"]) == ("raw", "bare")
    assert own_properties(done.image) == {
        "own": "kept",
        "os_distro": "debian",
        "hw_disk_bus": "virtio",
        "trait:HW_CPU_X86_VMX": "required",
    }
    for name in ("name", "min_disk", "min_ram", "protected", "tags", "visibility"):
        assert done.image[name] == before[name]
    assert done.image["size"] == len(BODY)
    assert done.image["checksum"] == hashlib.md5(BODY).hexdigest()
    assert done.image["os_hash_value"] == hashlib.sha512(BODY).hexdigest()
    assert site.stored() == {"s1": {before["id"]: BODY}}
    site.imageport("images", "delete", "--yes", before["id"])
    for difference in (-1, 1):
        before = queued(site)
        method = publish_remote(site.server, BODY, size=len(BODY) + difference)
        done = site.run(None, image=before["id"], method=method)
        assert done.error["code"] == "verification-failed"
        assert f"reports that the image has {len(BODY) + difference}" in done.error["message"]
        assert_as_before(site, before, done)
        site.imageport("images", "delete", "--yes", before["id"])


@pytest.mark.parametrize("fault", ["queued", "region", "unreachable"])
def test_107_a_remote_image_that_cannot_be_had_changes_nothing(site: Site, fault: str) -> None:
    """The remote image is queued, the region is unknown, or its Glance cannot be reached: the import fails, the image
    is queued with the formats and properties it had, and nothing is locked."""
    before = queued(site)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        method = publish_remote(site.server, BODY, status="queued")
        message = f"{REMOTE_IMAGE} is queued, not active"
        if fault == "region":
            method = fetch_remote(site.server, region="West")
            message = "no public image service in region 'West'"
        if fault == "unreachable":
            url = f"http://127.0.0.1:{unused.getsockname()[1]}"
            method = step("glance-download", endpoint=url, glance_image_id=before["id"])
            message = "could not be reached"
        done = site.run(None, image=before["id"], method=method)
    assert done.error["code"] == "source-unavailable"
    assert message in done.error["message"]
    assert done.error["hint"]
    assert_as_before(site, before, done)


def test_108_bytes_with_another_digest_than_the_remote_one_are_refused(site: Site) -> None:
    """The remote os_hash_value is not that of the received bytes: the import fails, and nothing is stored."""
    before = queued(site)
    expected, found = (hashlib.sha512(body).hexdigest() for body in (BODY[::-1], BODY))
    done = site.run(
        None, image=before["id"], method=publish_remote(site.server, BODY, os_hash_value=expected)
    )
    assert done.error["code"] == "verification-failed"
    assert expected in done.error["message"]
    assert found in done.error["message"]
    # It was fetched a second time, in case it was the way here that damaged it.
    assert done.checks == [("checksum sha512", "failed")] * 2
    assert_as_before(site, before, done)
