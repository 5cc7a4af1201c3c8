"""The store keeps the promises of stores, with a real Glance."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from conftest import GlanceProcess, full_glance
from imageport.testing import StoreConformance
from tests.servers.openstack import OpenStack

from imageport_openstack.glance import Glance


class TestOpenStack(StoreConformance):
    plugin = "openstack"
    options: ClassVar[dict[str, Any]] = {}
    patience = 90.0

    @pytest.fixture(autouse=True)
    def _in_the_cloud(self, options: dict[str, Any], glance: Glance) -> None:
        self.options.update(options)
        self._glance = glance

    @pytest.fixture
    def server(self, cloud: OpenStack) -> GlanceProcess:
        return GlanceProcess(cloud)

    @pytest.fixture
    def fill(self, cloud: OpenStack) -> Callable[[], AbstractContextManager[object]]:
        return partial(full_glance, cloud)

    def traces(self, folder: Path) -> list[str]:
        return [image["id"] for image in self._glance.images()]
