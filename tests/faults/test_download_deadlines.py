"""An import ends at its deadline, whatever it waits for; the plan lists all deadlines."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.faults.downloads import Downloads
from tests.noise import noise

from imageport.testing.command import RunImageport
from imageport.testing.http_answers import Dripping, File, Stalled, Status
from imageport.testing.http_server import Behaviour, HttpServer

BODY = noise(1 << 20)


@pytest.fixture
def downloads(run_imageport: RunImageport) -> Iterator[Downloads]:
    with HttpServer(refuses_head=True) as server:
        yield Downloads(run_imageport, server, {"import_deadline": 1})


@pytest.mark.parametrize(
    ("answer", "staging"),
    [
        (Stalled(BODY, after=1000), "file"),
        (Dripping(BODY, drop=2000), "auto"),
        (Status(503, retry_after="600"), "auto"),
    ],
    ids=["stalled", "dripping", "asked-to-wait"],
)
def test_an_import_ends_at_its_deadline_and_leaves_nothing(
    downloads: Downloads, answer: Behaviour, staging: str
) -> None:
    url = downloads.server.answer("/disk.raw", answer)
    error = downloads.require_failed(downloads.importing(url, staging=staging), 1)
    assert error["code"] == "limit-exceeded"
    assert error["message"] == "the import was not complete after 1 s"
    assert "limits.import_deadline" in error["hint"]
    assert len(downloads.server.requests) == 1


def test_an_import_that_is_fast_enough_does_not_hear_of_it(downloads: Downloads) -> None:
    downloads.limits["import_deadline"] = 60
    url = downloads.server.answer("/disk.raw", File(BODY))
    downloads.require_imported(downloads.importing(url), BODY)


def test_the_plan_shows_one_tree_of_deadlines(downloads: Downloads) -> None:
    downloads.write()
    planned = downloads.run.inside("plan", "download.yaml", "--json").json["deadlines"]
    assert planned == {
        "import": {
            "in_all": 1.0,
            "download": {
                "each_try": 86400.0,
                "connecting": 15.0,
                "silence": 60.0,
                "minimum_rate": 1024,
            },
            "conversion": {"each": 14400.0},
            "store": {"standstill": 900.0},
        }
    }
    assert "deadlines:" in downloads.run.inside("plan", "download.yaml").stdout
