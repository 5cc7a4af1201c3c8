"""One import into a folder, S3, Ceph and Glance, each with a real server, one of which stops at the worst moment."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from tests.servers.ceph import POOL, Ceph, running_ceph
from tests.servers.daemon import Daemon
from tests.servers.openstack import MEMBER, OpenStack, running_openstack, sign_in
from tests.servers.seaweed import ACCESS_KEY, SECRET_KEY, Seaweed, running_seaweed

from imageport.testing import Finished, RunImageport
from imageport.testing.http_server import HttpServer, Reply

MIB = 1 << 20
STORES = ("folder", "s3", "ceph", "cloud")
#: Seconds that the site waits for a store that does not answer.
PATIENCE = 8
FORMATS = ("--disk-format", "raw", "--container-format", "bare")


@dataclass
class Servers:
    """The servers of the stores, which fail by the name of their store."""

    ceph: Ceph
    cloud: OpenStack
    seaweed: Seaweed
    bucket: Any

    def freeze(self, store: str) -> None:
        self._daemon(store).freeze()

    def kill(self, store: str) -> None:
        (self.seaweed if store == "s3" else self._daemon(store)).kill()

    def bring_back(self, store: str, fault: str) -> None:
        if fault == "frozen":
            self._daemon(store).thaw()
        else:
            {"s3": self.seaweed.start, "ceph": self.ceph.start_osd, "cloud": self.cloud.glance.start}[store]()
        # An OSD that is up again does not answer at once.
        self.ceph("rbd", "ls", POOL)

    def _daemon(self, store: str) -> Daemon:
        return {"s3": self.seaweed.daemon, "ceph": self.ceph.osd, "cloud": self.cloud.glance.daemon}[store]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Run the servers, which keep their data when they are killed. None of them needs another one's."""
    folder = tmp_path_factory.mktemp("servers")
    with (
        running_ceph(folder / "ceph", "bluestore") as ceph,
        running_openstack(folder / "cloud") as cloud,
        running_seaweed(folder / "seaweed") as seaweed,
    ):
        session = boto3.Session(ACCESS_KEY, SECRET_KEY, region_name="us-east-1")
        bucket = session.resource("s3", endpoint_url=seaweed.facts["endpoint"]).Bucket("images")
        bucket.create()
        yield Servers(ceph, cloud, seaweed, bucket)


@dataclass
class Site:
    """A folder with a site that has all four stores."""

    folder: Path
    imageport: RunImageport
    servers: Servers

    def __call__(self, *arguments: str) -> Finished:
        return self.imageport(*arguments)

    def content(self) -> dict[str, list[str]]:
        """Return what is in each store, published or not."""
        folder = self.folder / "images"
        token = self.servers.cloud.keystone.sign_in(MEMBER, "demo-password", MEMBER)
        glance = self.servers.cloud.glance
        shown = [
            glance.call("GET", f"/v2/images?os_hidden={hidden}", token=token) for hidden in ("true", "false")
        ]
        client = self.servers.bucket.meta.client
        uploads = client.list_multipart_uploads(Bucket="images").get("Uploads", ())
        return {
            "folder": sorted(path.name for path in folder.iterdir()) if folder.exists() else [],
            "s3": [item.key for item in self.servers.bucket.objects.all()] + [one["Key"] for one in uploads],
            "ceph": json.loads(self.servers.ceph("rbd", "ls", "--format", "json", POOL)),
            "cloud": [image["id"] for page in shown for image in page["images"]],
        }


@pytest.fixture
def site(site_folder: Path, run_imageport: RunImageport, servers: Servers) -> Site:
    keys = {"access_key_id": ACCESS_KEY, "secret_access_key": "{file.secret}"}
    (site_folder / "secret").write_text(SECRET_KEY)
    (site_folder / "password").write_text("demo-password")
    options: dict[str, tuple[str, dict[str, Any]]] = {
        "folder": ("file", {"directory": "images"}),
        "s3": ("s3", {"bucket": "images", "endpoint": servers.seaweed.facts["endpoint"], **keys}),
        "ceph": ("rbd", {"pool": POOL, "conf": servers.ceph.facts["configuration"], "driver": "command"}),
        "cloud": ("openstack", {**sign_in(servers.cloud.facts), "password": "{file.password}"}),
    }
    configuration = {
        "catalog": "sqlite:///catalog.db",
        "staging": {"directory": "staging"},
        "network": {"allow_networks": ["127.0.0.0/8"]},
        "stores": [{"use": plugin, "id": label, "with": with_} for label, (plugin, with_) in options.items()],
        "default_store": "folder",
        "limits": {"store_patience": PATIENCE},
    }
    (site_folder / "imageport.yaml").write_text(json.dumps(configuration))
    (site_folder / "import.yaml").write_text(
        json.dumps({"name": "import", "source": {"use": "web-download"}})
    )
    return Site(site_folder, run_imageport, servers)


def _into_all(*arguments: str) -> list[str]:
    stores = [word for store in STORES for word in ("--store", store)]
    return ["run", "import.yaml", *arguments, *FORMATS, *stores, "--json"]


def test_one_read_of_the_source_fills_every_store(site: Site, http_server: HttpServer) -> None:
    content = random.Random(5).randbytes(24 * MIB) + bytes(8 * MIB)
    url = http_server.publish("/disk.raw", content)
    done = site(*_into_all(url))
    assert done.exit_code == 0, done.stderr
    assert {copy["status"] for copy in done.report["stores"].values()} == {"published"}
    assert set(done.report["stores"]) == set(STORES)
    assert [request.path for request in http_server.requests if request.method == "GET"] == ["/disk.raw"]
    image = done.report["image"]["id"]
    for store in STORES:
        exported = site("images", "export", image, f"{store}.raw", "--store", store)
        assert exported.exit_code == 0, exported.stderr
        stored = (site.folder / f"{store}.raw").read_bytes()
        assert hashlib.sha512(stored).hexdigest() == done.report["image"]["os_hash_value"]
    assert site("images", "delete", image, "--yes").exit_code == 0
    assert site.content() == {label: [] for label in STORES}


@pytest.mark.parametrize("rule", ["--must-succeed", "--allow-failure"])
@pytest.mark.parametrize("fault", ["frozen", "killed"])
@pytest.mark.parametrize("store", ["s3", "ceph", "cloud"])
def test_a_server_that_stops_in_mid_write_leaves_nothing_once_it_is_back(
    site: Site, http_server: HttpServer, store: str, fault: str, rule: str
) -> None:
    content = random.Random(6).randbytes(16 * MIB)
    before = site.content()

    def half_of_it_and_then_the_rest(reply: Reply) -> None:
        reply.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
        reply.write(content[: len(content) // 2])
        site.servers.freeze(store) if fault == "frozen" else site.servers.kill(store)
        reply.write(content[len(content) // 2 :])

    http_server.answer("/disk.raw", half_of_it_and_then_the_rest)
    began = time.monotonic()
    try:
        done = site(*_into_all(http_server.url("/disk.raw"), rule))
        took = time.monotonic() - began
    finally:
        site.servers.bring_back(store, fault)
    states = {label: copy["status"] for label, copy in done.report["stores"].items()}
    published = [label for label, status in states.items() if status == "published"]
    expected = [] if rule == "--must-succeed" else [label for label in STORES if label != store]
    assert published == expected, done.stderr
    assert done.exit_code == (6 if rule == "--must-succeed" else 0)
    print(f"{store} {fault} {rule}: {took:.1f} s, {states}")
    collected = site("gc")
    assert collected.exit_code == 0, collected.stderr
    left = site.content()
    assert [label for label in STORES if left[label] != before[label]] == expected
    if expected:
        assert site("images", "delete", done.report["image"]["id"], "--yes").exit_code == 0
