"""Every built-in store keeps the promises of stores."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest

from imageport import Location
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
