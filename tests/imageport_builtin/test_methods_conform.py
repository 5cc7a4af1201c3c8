"""Every built-in method keeps the promises of methods."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.contract.remote_glance import REMOTE_ID, REMOTE_IMAGE, publish_remote

from imageport import ImageData, ImageRecord, Location, Source
from imageport.plugins.registry import PluginRegistry, hooks_of
from imageport.testing import HttpServer, MethodConformance
from imageport.testing.http_answers import Behaviour, File
from imageport.testing.step_suite import DISK


class TestWebDownload(MethodConformance):
    plugin = "web-download"


class TestGlanceDirect(MethodConformance):
    plugin = "glance-direct"
    network = False

    @pytest.fixture
    def offer(self, tmp_path: Path) -> Callable[[File], Source]:
        def offer(file: File) -> Source:
            (tmp_path / "disk.raw").write_bytes(file.data)
            return Source(method="glance-direct", uri=str(tmp_path / "disk.raw"))

        return offer


class TestCopyImage(MethodConformance):
    plugin = "copy-image"
    network = False
    record = ImageRecord(id="8f6fc61c-5f0b-4a3e-9a39-0b9b8f1f5a01", status="active", size=len(DISK))

    @pytest.fixture
    def offer(self, tmp_path: Path) -> Callable[[File], Source]:
        path = tmp_path / "copy"
        path.write_bytes(b"")
        self.services = {
            "replicas": (Location(url=f"file://{path}", store="s"),),
            "read_replica": lambda location: ImageData.from_file(path),
        }

        def offer(file: File) -> Source:
            path.write_bytes(file.data)
            return Source(method="copy-image")

        return offer


class TestGlanceDownload(MethodConformance):
    plugin = "glance-download"
    options = {
        "glance_image_id": REMOTE_ID, "auth_url": "http://127.0.0.1:1/identity", "username": "demo",
        "password": "demo-password", "project_name": "demo", "glance_region": "North",
    }  # fmt: skip

    @pytest.fixture
    def offer(self, faulty_server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Source]:
        described = publish_remote(faulty_server, self.content)
        monkeypatch.setattr(TestGlanceDownload, "options", described["with"])

        def offer(*behaviours: Behaviour) -> Source:
            if isinstance(behaviours[0], File) and behaviours[0].length is None:
                publish_remote(faulty_server, behaviours[0].data)
            faulty_server.answer(f"{REMOTE_IMAGE}/file", *behaviours)
            faulty_server.requests.clear()
            return Source(method="glance-download")

        return offer


def test_every_method_of_the_project_is_here() -> None:
    registry = PluginRegistry.installed()
    own = [plugin for plugin in registry if plugin.distribution.startswith("imageport ")]
    methods = {plugin.name for plugin in own if "stage" in hooks_of(plugin.load())}
    classes = [found for found in globals().values() if isinstance(found, type)]
    assert methods == {vars(found)["plugin"] for found in classes if MethodConformance in found.__bases__}
