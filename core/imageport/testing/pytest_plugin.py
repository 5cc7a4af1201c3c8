"""Fixtures for every run of pytest where Imageport is installed. It imports Imageport only for tests that use them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from imageport.testing.command import RunImageport
    from imageport.testing.http_server import HttpServer

pytest.register_assert_rewrite("imageport.testing.step_suite")


@pytest.fixture
def http_server() -> Iterator[HttpServer]:
    """Return a web server on this machine, which serves the files that the test publishes."""
    from imageport.testing.http_server import HttpServer

    with HttpServer() as server:
        yield server


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
