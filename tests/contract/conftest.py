"""The site on which the contract is tested; see ``site.py``."""

from __future__ import annotations

import pytest
from tests.command import RunImageport
from tests.contract.site import PACKAGE, Site
from tests.http_server import HttpServer


@pytest.fixture
def site(run_imageport: RunImageport, http_server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Return a site in a folder of its own."""
    monkeypatch.syspath_prepend(PACKAGE)
    environment = {**run_imageport.environment, "PYTHONPATH": str(PACKAGE), "LOGNAME": "tester"}
    return Site(RunImageport(run_imageport.folder, environment), http_server)
