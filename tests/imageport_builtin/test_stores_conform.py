"""Every built-in store keeps the promises of stores."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from imageport import Location
from imageport.plugins.registry import PluginRegistry, hooks_of
from imageport.plugins.roles import fits
from imageport.testing import HttpServer, ReadOnlyStoreConformance, StoreConformance


class TestFile(StoreConformance):
    plugin = "file"
    options = {"directory": "images"}


class TestHttp(ReadOnlyStoreConformance):
    plugin = "http"

    @pytest.fixture
    def place(self, http_server: HttpServer) -> Callable[[bytes | None], Location]:
        numbers = count()

        def publish(content: bytes | None) -> Location:
            path = f"/copy-{next(numbers)}"
            url = http_server.url(path) if content is None else http_server.publish(path, content)
            return Location(url=url)

        return publish


def test_every_store_of_the_project_is_here() -> None:
    registry = PluginRegistry.installed()
    own = [plugin for plugin in registry if plugin.distribution.startswith("imageport ")]
    stores = {plugin.name for plugin in own if fits(frozenset(hooks_of(plugin.load())), "store")}
    classes = [found for found in globals().values() if isinstance(found, type)]
    suites = {StoreConformance, ReadOnlyStoreConformance}
    assert stores == {vars(found)["plugin"] for found in classes if suites & {*found.__bases__}}
