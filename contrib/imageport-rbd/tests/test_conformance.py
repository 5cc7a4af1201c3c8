"""The store keeps the promises of stores, with both drivers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
from conftest import DRIVERS, OsdServer, full_pool, images, remove_all
from imageport.testing import StoreConformance
from tests.servers.ceph import Ceph


class RbdConformance(StoreConformance):
    plugin = "rbd"
    options: ClassVar[dict[str, Any]]
    patience = 90.0

    @pytest.fixture(autouse=True)
    def _options(self, ceph: Ceph) -> Iterator[None]:
        self.options["conf"] = str(ceph.configuration)
        self._ceph = ceph
        yield
        remove_all(ceph)

    @pytest.fixture
    def server(self, ceph: Ceph) -> OsdServer:
        return OsdServer(ceph)

    @pytest.fixture
    def fill(self, ceph: Ceph) -> Callable[[], AbstractContextManager[object]]:
        return partial(full_pool, ceph)

    def traces(self, folder: Path) -> list[str]:
        return [name for name in images(self._ceph) if name != "ballast"]


class TestRbd(RbdConformance):
    options: ClassVar[dict[str, Any]] = {"pool": "rbd", "driver": DRIVERS[0]}


class TestRbdByCommand(RbdConformance):
    options: ClassVar[dict[str, Any]] = {"pool": "rbd", "driver": "command"}
