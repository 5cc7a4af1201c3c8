"""Images in a real cluster, as Glance, Cinder, Nova and operators see them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import DRIVERS, full_pool, images, remove_all
from imageport import Location, StoreFailed
from imageport.testing import Bench, Finished, RunImageport, Stream, bench
from tests.servers.ceph import POOL, Ceph

MIB = 1 << 20
NOISE = random.Random(11).randbytes(5 * MIB)


@dataclass
class Site:
    """A folder with a pipeline that has the store, and the cluster of that."""

    folder: Path
    imageport: RunImageport
    ceph: Ceph
    options: dict[str, Any]

    def run(self, *arguments: str, **options: Any) -> Finished:
        """Import a sparse disk of 40 MiB, with further *options* of the store."""
        disk = self.folder / "disk.raw"
        with disk.open("wb") as file:
            file.truncate(40 * MIB)
            file.seek(12 * MIB)
            file.write(NOISE)
        store = {"use": "rbd", "id": "ceph", "with": {**self.options, **options}}
        pipeline = {"name": "test", "source": {"use": "glance-direct"}, "stores": [store]}
        (self.folder / "pipeline.yaml").write_text(json.dumps(pipeline))
        return self.imageport.inside("run", "pipeline.yaml", "disk.raw", "--json", *arguments)

    def rbd(self, *command: str) -> Any:
        """Return the answer of the command ``rbd``."""
        return json.loads(self.ceph("rbd", *command, "--format", "json"))


@pytest.fixture(params=DRIVERS)
def options(request: pytest.FixtureRequest, ceph: Ceph) -> Iterator[dict[str, Any]]:
    yield {"pool": POOL, "conf": str(ceph.configuration), "driver": request.param}
    remove_all(ceph)


@pytest.fixture
def site(site_folder: Path, run_imageport: RunImageport, ceph: Ceph, options: dict[str, Any]) -> Site:
    return Site(site_folder, run_imageport, ceph, options)


@pytest.fixture
def store(tmp_path: Path, options: dict[str, Any]) -> Iterator[Bench]:
    with bench("rbd", options, tmp_path, is_store=True) as made:
        yield made


def test_an_image_is_stored_as_glance_stores_it(site: Site) -> None:
    report = site.run().report
    image = report["image"]["id"]
    assert report["stores"]["ceph"]["location"] == f"rbd://{site.ceph.fsid}/{POOL}/{image}/snap"
    assert images(site.ceph) == [image]
    assert site.rbd("info", f"{POOL}/{image}")["size"] == 40 * MIB
    snapshots = site.rbd("snap", "ls", f"{POOL}/{image}")
    assert [(one["name"], one["protected"]) for one in snapshots] == [("snap", "true")]


def test_zeros_take_no_room(site: Site) -> None:
    image = site.run().report["image"]["id"]
    extents = site.rbd("diff", f"{POOL}/{image}@snap")
    assert sum(extent["length"] for extent in extents if extent["exists"] == "true") == 5 * MIB


def test_cinder_and_nova_can_clone_it(site: Site) -> None:
    image = site.run().report["image"]["id"]
    site.ceph("rbd", "clone", f"{POOL}/{image}@snap", f"{POOL}/volume")
    site.ceph("rbd", "export", "--no-progress", f"{POOL}/volume", str(site.folder / "volume"))
    assert (site.folder / "volume").read_bytes() == (site.folder / "disk.raw").read_bytes()
    site.ceph("rbd", "rm", "--no-progress", f"{POOL}/volume")


def test_a_clone_keeps_its_image(site: Site) -> None:
    image = site.run().report["image"]["id"]
    site.ceph("rbd", "clone", f"{POOL}/{image}@snap", f"{POOL}/volume")
    refused = site.imageport.inside("images", "delete", image, "--yes")
    assert refused.exit_code == 6
    assert f"the image {POOL}/{image} has clones (1), such as {POOL}/volume" in refused.stderr
    assert site.rbd("snap", "ls", f"{POOL}/{image}")[0]["protected"] == "true"
    assert "has clones (1)" in site.imageport.inside("gc").stdout
    site.ceph("rbd", "flatten", "--no-progress", f"{POOL}/volume")
    assert site.imageport.inside("gc").exit_code == 0
    assert images(site.ceph) == ["volume"]


def test_a_copy_is_exported(site: Site) -> None:
    image = site.run().report["image"]["id"]
    assert site.imageport.inside("images", "export", image, "back.raw").exit_code == 0
    assert (site.folder / "back.raw").read_bytes() == (site.folder / "disk.raw").read_bytes()
    assert (site.folder / "back.raw").stat().st_blocks * 512 < 10 * MIB


def test_the_snapshot_is_protected_before_the_image_has_its_name(store: Bench, ceph: Ceph) -> None:
    copy = store.write(Stream(NOISE).data())
    (hidden,) = images(ceph)
    assert hidden.endswith(".partial")
    snapshots = json.loads(ceph("rbd", "snap", "ls", "--format", "json", f"{POOL}/{hidden}"))
    assert [(one["name"], one["protected"]) for one in snapshots] == [("snap", "true")]
    copy.publish()
    assert images(ceph) == [hidden.split(".")[0]]


@pytest.mark.parametrize(
    "url",
    [
        "rbd://other/{pool}/{id}/snap",
        "rbd://{fsid}/other/{id}/snap",
        "rbd://{fsid}/{pool}/{id}",
        "rbd://{id}",
    ],
)
def test_locations_of_other_clusters_and_pools_are_refused(store: Bench, ceph: Ceph, url: str) -> None:
    location = Location(url=url.format(fsid=ceph.fsid, pool=POOL, id="disk"))
    for use in (store.read, store.delete):
        with pytest.raises(StoreFailed) as caught:
            use(location)
        assert str(caught.value) == f"{location.url} is not in rbd://{ceph.fsid}/{POOL}/"


def test_images_of_other_programs_are_not_listed(store: Bench, ceph: Ceph) -> None:
    ceph("rbd", "create", "--size", "1M", f"{POOL}/volume")
    copy = store.write(Stream(NOISE).data())
    assert list(store.list()) == []
    copy.publish()
    assert [one.location.url for one in store.list()] == [copy.location.url]


def test_an_image_has_the_layout_of_the_options(site: Site) -> None:
    if "data" not in site.ceph("rados", "lspools").split():
        site.ceph.make_pool("data")
    wanted = {"object_size": 8, "features": ["layering"], "data_pool": "data"}
    found = site.rbd("info", f"{POOL}/{site.run(**wanted).report['image']['id']}")
    assert found["order"] == 23
    assert found["features"] == ["layering", "data-pool"]
    assert found["data_pool"] == "data"


def test_a_format_that_cannot_be_cloned_is_refused_before_it_is_written(site: Site) -> None:
    report = site.run("--disk-format", "qcow2").report
    assert report["status"] == "failure"
    assert images(site.ceph) == []


def test_doctor_reports_how_much_room_there_is(site: Site) -> None:
    store = {"use": "rbd", "id": "ceph", "with": site.options}
    (site.folder / "imageport.yaml").write_text(json.dumps({"stores": [store]}))
    found = [
        one for one in json.loads(site.imageport.inside("doctor", "--json").stdout) if "ceph" in str(one)
    ]
    assert [one["severity"] for one in found] == ["ok"]
    assert f"the pool {POOL} has room for 9." in str(found)


def test_a_pool_without_room_is_refused_before_it_is_written_to(site: Site) -> None:
    with full_pool(site.ceph):
        report = site.run().report
        assert images(site.ceph) == ["ballast"]
    assert report["error"]["code"] == "store-failed"
    assert report["error"]["message"].startswith("the store has room for 0 B")


def test_a_pool_that_fills_up_is_reported_with_its_quota(store: Bench, ceph: Ceph) -> None:
    with full_pool(ceph), pytest.raises(StoreFailed) as caught:
        store.write(Stream(NOISE).data())
    assert str(caught.value).endswith("/snap: Disk quota exceeded")
    assert caught.value.hint == "free space in the pool, or raise its quota: ceph osd pool set-quota"


@pytest.mark.parametrize(
    ("wrong", "message", "hint"),
    [
        ({"pool": "missing"}, "the Ceph cluster has no pool missing", "ceph osd pool create missing"),
        ({"conf": "missing.conf"}, "missing.conf, is missing", "set conf in the options"),
    ],
)
def test_wrong_options_are_reported(site: Site, wrong: dict[str, str], message: str, hint: str) -> None:
    done = site.run(**wrong)
    report = done.report
    assert report["error"]["code"] == "store-failed"
    assert "warning" not in done.stderr
    assert message in report["error"]["message"]
    assert hint in report["error"]["hint"]


def test_a_cluster_that_is_not_there_is_reported_in_time(store: Bench, site: Site, ceph: Ceph) -> None:
    configuration = site.folder / "dead.conf"
    configuration.write_text(ceph.configuration.read_text().replace(f":{ceph.monitor_port}/", ":1/"))
    with (
        bench(
            "rbd", {**site.options, "conf": configuration}, site.folder, is_store=True, patience=20
        ) as dead,
        pytest.raises(StoreFailed) as caught,
    ):
        dead.write(Stream(NOISE).data())
    assert str(caught.value).startswith(
        f"cannot connect to the Ceph cluster of {configuration} as client.admin: "
    )
