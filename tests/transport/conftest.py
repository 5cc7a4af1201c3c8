from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.http_server import HttpServer


@pytest.fixture
def http_server() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server
