from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.servers.openstack import MEMBER, running_openstack


def test_the_shared_cloud_knows_its_users(openstack: dict[str, str]) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{openstack['glance']}/v2/images")
    assert refused.value.code == 401
    refused.value.close()


def test_a_frozen_glance_answers_again_and_a_killed_one_keeps_its_images(tmp_path: Path) -> None:
    with running_openstack(tmp_path / "cloud") as cloud:
        token = cloud.keystone.sign_in(MEMBER, "demo-password", MEMBER)
        image = cloud.glance.create(token, name="disk", disk_format="raw", container_format="bare")
        cloud.glance.daemon.freeze()
        with pytest.raises(OSError, match="timed out"):
            urllib.request.urlopen(cloud.glance.url, timeout=1)
        cloud.glance.daemon.thaw()
        assert cloud.glance.show(image, token)["status"] == "queued"
        cloud.glance.daemon.kill()
        with pytest.raises(OSError, match=r"refused|reset"):
            urllib.request.urlopen(cloud.glance.url, timeout=1)
        cloud.glance.start()
        assert cloud.glance.show(image, token)["name"] == "disk"
