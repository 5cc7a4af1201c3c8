"""The method glance-download with a real Keystone and two real Glances, one of which it is compared with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.glance.inputs import Inputs
from tests.servers.glance import GlanceServer, with_keystone
from tests.servers.keystone import PASSWORD, PROJECT, USER, KeystoneServer

from imageport.testing.command import Finished, RunImageport, sha512

PROPERTIES = {
    "hw_disk_bus": "scsi", "os_distro": "debian", "os_type": "linux", "trait:CUSTOM_FAST": "required",
    "os_version": "12", "own": "not copied",
}  # fmt: skip
COPIED = {name: value for name, value in PROPERTIES.items() if name not in ("os_version", "own")}
SIGN_IN = {"username": USER, "password": PASSWORD, "project_name": PROJECT}


@dataclass(frozen=True)
class Cloud:
    """A Keystone, a Glance in region North, and another in region South."""

    keystone: KeystoneServer
    north: GlanceServer
    south: GlanceServer
    token: str

    def upload(self, image: Path, **fields: Any) -> dict[str, Any]:
        """Upload *image* to North and return its record."""
        formats = {"disk_format": "qcow2", "container_format": "bare"}
        image_id = self.north.create(self.token, name="remote", min_disk=7, **formats, **PROPERTIES, **fields)
        self.north.upload(image_id, image, self.token)
        return self.north.show(image_id, self.token)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Start the three."""
    with ExitStack() as stack:
        keystone = stack.enter_context(KeystoneServer(tmp_path_factory.mktemp("keystone")))
        token = keystone.sign_in()
        glances: list[GlanceServer] = []
        for region in ("North", "South"):
            folder = tmp_path_factory.mktemp(region)
            glance = stack.enter_context(GlanceServer(folder, sections=with_keystone(keystone, folder)))
            keystone.add_image_service(glance.url, region, token)
            glances.append(glance)
        # The catalog is part of a token.
        north, south = glances
        yield Cloud(keystone, north, south, keystone.sign_in())


Fetch = Callable[[str, Mapping[str, Any]], Finished]


@pytest.fixture
def fetch(cloud: Cloud, run_imageport: RunImageport) -> Fetch:
    """Return a function that imports a remote image with Imageport."""

    def run(image_id: str, options: Mapping[str, Any]) -> Finished:
        where = {"auth_url": cloud.keystone.auth_url, "glance_region": "nORTH"}
        source = {"use": "glance-download", "with": {**where, **options}}
        (run_imageport.folder / "fetch.yaml").write_text(json.dumps({"name": "fetch", "source": source}))
        return run_imageport("run", "fetch.yaml", image_id, "--json")

    return run


@pytest.mark.parametrize("way", ["user", "application credential", "token"])
def test_an_image_comes_with_formats_properties_and_the_same_digests(
    cloud: Cloud, fetch: Fetch, inputs: Inputs, way: str
) -> None:
    """Scenario 106."""
    remote = cloud.upload(inputs["qcow2"])
    options: Mapping[str, Any] = {
        "user": SIGN_IN,
        "application credential": cloud.keystone.application_credential(cloud.token) if way[0] == "a" else {},
        "token": {"token": cloud.token},
    }[way]
    done = fetch(remote["id"], options)
    assert done.exit_code == 0, done.stderr
    image = done.report["image"]
    fields = (
        "disk_format",
        "container_format",
        "size",
        "virtual_size",
        "checksum",
        "os_hash_algo",
        "os_hash_value",
    )
    assert {name: image[name] for name in fields} == {name: remote[name] for name in fields}
    assert _own(image["properties"]) == COPIED
    assert image["min_disk"] == 0
    assert sha512(done.copies["default"]) == remote["os_hash_value"]


def test_glance_itself_copies_the_same(cloud: Cloud, fetch: Fetch, inputs: Inputs) -> None:
    """Scenario 106."""
    remote = cloud.upload(inputs["qcow2"])
    image_id = cloud.south.create(cloud.token, name="local", disk_format="raw", container_format="ova")
    method = {"name": "glance-download", "glance_region": "north", "glance_image_id": remote["id"]}
    assert cloud.south.import_image(image_id, {"method": method}, cloud.token) == "success"
    glance = cloud.south.show(image_id, cloud.token)
    ours = fetch(remote["id"], SIGN_IN).report["image"]
    fields = (
        "status",
        "disk_format",
        "container_format",
        "size",
        "virtual_size",
        "checksum",
        "os_hash_value",
        "min_disk",
    )
    assert {name: glance[name] for name in fields} == {name: ours[name] for name in fields}
    assert {name: glance[name] for name in PROPERTIES if name in glance} == _own(ours["properties"])


def test_bytes_that_were_damaged_over_there_are_not_imported(
    cloud: Cloud, fetch: Fetch, inputs: Inputs
) -> None:
    """Scenario 108."""
    remote = cloud.upload(inputs["qcow2"])
    stored = cloud.north.folder / "s1" / remote["id"]
    damaged = bytearray(stored.read_bytes())
    damaged[-1] ^= 1
    stored.write_bytes(damaged)
    done = fetch(remote["id"], SIGN_IN)
    assert done.exit_code == 5
    assert remote["os_hash_value"] in done.report["error"]["message"]
    assert sha512(stored) in done.report["error"]["message"]
    assert done.report["image"]["status"] == "queued"
    assert done.copies == {}


def test_each_failure_has_a_hint(cloud: Cloud, fetch: Fetch) -> None:
    """Scenario 107."""
    queued = cloud.north.create(cloud.token, disk_format="raw", container_format="bare")
    nowhere = "00000000-0000-4000-8000-000000000000"
    for image_id, options, message, hint in (
        (queued, SIGN_IN, "is queued, not active", "when its upload is complete"),
        (nowhere, SIGN_IN, "answered 404", "check the id and the region"),
        (queued, {**SIGN_IN, "glance_region": "West"}, "region 'West'", "North (public), South (public)"),
        (queued, {**SIGN_IN, "password": "wrong"}, "does not accept these credentials", "check the user"),
        (queued, {"token": "gAAAAABnonsense"}, "does not accept the token", "get a new one"),
        (
            queued,
            {"endpoint": cloud.north.url, "auth_url": None, "glance_region": None},
            "answered 401",
            "the token is missing",
        ),
    ):
        done = fetch(image_id, options)
        assert done.exit_code == 4
        assert message in done.report["error"]["message"]
        assert hint in done.report["error"]["hint"]


def _own(properties: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in properties.items() if not name.startswith("os_glance")}
