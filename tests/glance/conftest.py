"""A Glance for each set of import plugins, started when a test first needs it, and the images to import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.glance.inputs import Inputs
from tests.servers.glance import GlanceServer

from imageport.testing.http_server import HttpServer

GlanceWith = Callable[[tuple[str, ...]], GlanceServer]


@pytest.fixture(scope="session")
def glance_with(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GlanceWith]:
    """Return a function that returns a running Glance with the plugins it is given."""
    running: dict[tuple[str, ...], GlanceServer] = {}
    with ExitStack() as stack:

        def glance(plugins: tuple[str, ...]) -> GlanceServer:
            if plugins not in running:
                folder = tmp_path_factory.mktemp("-".join(["glance", *plugins]))
                running[plugins] = stack.enter_context(GlanceServer(folder, plugins=plugins))
            return running[plugins]

        yield glance


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Return the images, which both get byte for byte."""
    return Inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def web() -> Iterator[HttpServer]:
    """Serve what is downloaded."""
    with HttpServer() as server:
        yield server
