"""A Keystone and a Glance for the tests of this package alone: they freeze it, kill it and fill it up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from imageport.testing import Finished, RunImageport
from imageport.values import ClientSettings
from tests.servers.openstack import OpenStack, running_openstack, sign_in

from imageport_openstack.connection import connect
from imageport_openstack.glance import Glance
from imageport_openstack.options import OpenStackOptions


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenStack]:
    """Run a cloud."""
    with running_openstack(tmp_path_factory.mktemp("cloud") / "cloud") as running:
        yield running


@pytest.fixture(scope="session")
def options(cloud: OpenStack) -> dict[str, Any]:
    """Return the options with which an ordinary user signs in."""
    return sign_in(cloud.facts)


@pytest.fixture
def glance(options: dict[str, Any]) -> Iterator[Glance]:
    """Return the image service as that user sees it; it has no image before and after a test."""
    made = Glance(connect(OpenStackOptions.model_validate(options), ClientSettings()))
    yield made
    for image in list(made.images()):
        made.delete(image["id"])
    made.close()


class GlanceProcess:
    """The server of the store for the suite."""

    def __init__(self, cloud: OpenStack) -> None:
        self._cloud = cloud

    def freeze(self) -> None:
        self._cloud.glance.daemon.freeze()

    def thaw(self) -> None:
        self._cloud.glance.daemon.thaw()

    def kill(self) -> None:
        self._cloud.glance.daemon.kill()

    def start(self) -> None:
        self._cloud.glance.start()


@contextmanager
def full_glance(cloud: OpenStack) -> Iterator[None]:
    """Run Glance with a quota that every image exceeds."""
    configuration = cloud.glance.folder / "glance-api.conf"
    before = configuration.read_text()
    _restart(cloud, before.replace("[DEFAULT]\n", "[DEFAULT]\nuser_storage_quota = 1\n"))
    try:
        yield
    finally:
        _restart(cloud, before)


def _restart(cloud: OpenStack, configuration: str) -> None:
    cloud.glance.daemon.kill()
    (cloud.glance.folder / "glance-api.conf").write_text(configuration)
    cloud.glance.start()


@dataclass
class Site:
    """A folder with a site that has the store."""

    folder: Path
    imageport: RunImageport
    options: dict[str, Any]

    def run(
        self, *arguments: str, source: str = "glance-direct", formats: bool = True, **options: Any
    ) -> Finished:
        """Import a disk, or what *arguments* name, with further *options* of the store."""
        store = {"use": "openstack", "id": "cloud", "with": {**self.options, **options}}
        configuration = {
            "catalog": "sqlite:///catalog.db",
            "staging": {"directory": "staging"},
            "network": {"allow_networks": ["127.0.0.0/8"]},
            "stores": [store],
        }
        (self.folder / "imageport.yaml").write_text(json.dumps(configuration))
        (self.folder / "pipeline.yaml").write_text(json.dumps({"name": "test", "source": {"use": source}}))
        image = () if source == "web-download" else (self.disk(),)
        declared = FORMATS if formats else ()
        return self.imageport.inside("run", "pipeline.yaml", *image, "--json", *declared, *arguments)

    def disk(self) -> str:
        """Write a disk, and return its name."""
        (self.folder / "disk.raw").write_bytes(DISK)
        return "disk.raw"


DISK = b"boot me" * 100_000
FORMATS = ("--disk-format", "raw", "--container-format", "bare")


@pytest.fixture
def site(site_folder: Path, run_imageport: RunImageport, options: dict[str, Any]) -> Site:
    # Later commands have to sign in as well, and no secret is kept for them.
    (site_folder / "password").write_text(options["password"])
    return Site(site_folder, run_imageport, {**options, "password": "{file.password}"})
