"""The site on which the contract is tested (see ``site.py``), and the page that a run writes (see ``scenarios.py``)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.catalog.conftest import postgresql, postgresql_socket
from tests.catalog.conftest import url as catalog_url
from tests.contract.scenarios import page
from tests.contract.site import PACKAGE, Site

from imageport.testing.command import RunImageport
from imageport.testing.http_server import HttpServer

__all__ = ["catalog_url", "postgresql", "postgresql_socket"]

OPTION = "--contract-page"


@pytest.fixture
def site(
    run_imageport: RunImageport, http_server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """Return a site in a separate folder."""
    monkeypatch.syspath_prepend(PACKAGE)
    environment = {**run_imageport.environment, "PYTHONPATH": str(PACKAGE), "LOGNAME": "tester"}
    made = Site(RunImageport(run_imageport.folder, environment), http_server)
    yield made
    made.close()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(OPTION, metavar="FILE", help="write the scenarios of the contract with their verdicts")


def pytest_configure(config: pytest.Config) -> None:
    target = config.getoption(OPTION, None)
    if target and not hasattr(config, "workerinput"):
        config.pluginmanager.register(ContractPage(Path(target)))


class ContractPage:
    """Writes the page at the end of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.verdicts: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        test = report.nodeid.partition("[")[0]
        if report.outcome != "passed" or self.verdicts.setdefault(test, "passed") != "passed":
            self.verdicts[test] = "failed"

    def pytest_sessionfinish(self) -> None:
        self.path.write_text(page(self.verdicts))
