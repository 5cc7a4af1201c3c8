"""Fixtures for every run of pytest where Imageport is installed. It imports Imageport only for tests that use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from imageport.events import Event
    from imageport.testing.command import Finished, RunImageport
    from imageport.testing.http_server import HttpServer
    from imageport.values import Image


@pytest.fixture
def http_server() -> Iterator[HttpServer]:
    """Return a web server on this machine, which serves the files that the test publishes."""
    from imageport.testing.http_server import HttpServer

    with HttpServer() as server:
        yield server


@pytest.fixture
def faulty_server(http_server: HttpServer) -> HttpServer:
    """Return a web server whose answers fail as the test wants: see ``imageport.testing.http_answers``."""
    return http_server


@pytest.fixture
def make_image() -> Callable[..., Image]:
    """Return a function that makes an image of chunks, with fields of its record: ``make_image(b"data", name="x")``."""
    from imageport.testing.benches import RECORD
    from imageport.testing.streams import Stream
    from imageport.values import Image

    def make(*chunks: bytes, **fields: Any) -> Image:
        return Image(RECORD.evolve(**fields), Stream(*chunks).data())

    return make


@pytest.fixture
def run_pipeline(tmp_path: Path) -> Callable[..., Finished]:
    """Return ``imageport.testing.run_pipeline`` for the folder of the test: ``run_pipeline({"steps": []}, file)``."""
    from imageport.testing.pipelines import run_pipeline

    return partial(run_pipeline, tmp_path)


@pytest.fixture
def recorded_events(monkeypatch: pytest.MonkeyPatch) -> list[Event]:
    """Return a list that gets every event of the imports that the test runs in its process, in their order."""
    from imageport.plugins.observers import Observers

    events: list[Event] = []
    emit = Observers.emit

    def record(self: Observers, event: Event, ctx: Any) -> None:
        events.append(event)
        emit(self, event, ctx)

    monkeypatch.setattr(Observers, "emit", record)
    return events


@pytest.fixture
def install_plugin(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Return a function that installs a distribution of plugins for the test, as pip would, without pip.

    ``install_plugin("acme-bell", {"bell": "acme_bell:Bell"}, {"acme_bell": code})`` writes the module ``acme_bell`` and
    the metadata that names its class; the plugin is found at once. It returns the folder of the metadata.
    """
    from imageport.testing.installing import plugin_folder

    with plugin_folder(tmp_path / "installed-plugins") as folder:
        yield folder.install


@pytest.fixture
def site_folder(tmp_path: Path) -> Path:
    """Return a working folder with a site file: loopback allowed, one store ``default`` in ``images/``."""
    import json

    from imageport.testing.pipelines import SITE

    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "imageport.yaml").write_text(json.dumps(SITE))
    return folder


@pytest.fixture
def run_imageport(site_folder: Path, tmp_path: Path) -> RunImageport:
    """Return a function that runs ``imageport`` in ``site_folder`` and returns its results."""
    from imageport.testing.command import RunImageport, clean_environment

    home = tmp_path / "home"
    home.mkdir()
    return RunImageport(site_folder, clean_environment(home))
