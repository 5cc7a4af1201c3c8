from __future__ import annotations

import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.servers.ceph import client, running_ceph


def test_clients_use_the_shared_cluster(ceph: dict[str, str], tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(b"boot me" * 100_000)
    client(ceph, "rbd", "import", str(disk), f"{ceph['pool']}/harness")
    client(ceph, "rbd", "export", f"{ceph['pool']}/harness", str(tmp_path / "back"))
    client(ceph, "rbd", "remove", f"{ceph['pool']}/harness")
    assert (tmp_path / "back").read_bytes() == disk.read_bytes()


def test_the_gateway_refuses_strangers(ceph: dict[str, str]) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{ceph['endpoint']}/bucket")
    assert refused.value.code in (403, 404)
    refused.value.close()


def test_a_frozen_osd_answers_again_and_a_killed_one_keeps_its_data(tmp_path: Path) -> None:
    with running_ceph(tmp_path / "ceph", "bluestore") as ceph:
        ceph("rbd", "create", "--size", "8M", "rbd/disk")
        ceph.osd.freeze()
        info = ["timeout", "1", "rbd", "--conf", str(ceph.configuration), "info", "rbd/disk"]
        assert subprocess.run(info, check=False, capture_output=True).returncode == 124
        ceph.osd.thaw()
        assert "8 MiB" in ceph("rbd", "info", "rbd/disk")
        ceph.osd.kill()
        ceph.start_osd()
        assert "8 MiB" in ceph("rbd", "info", "rbd/disk")
