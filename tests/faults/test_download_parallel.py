"""One file over several connections at the same time, from servers that play along and from others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from tests.faults.downloads import Downloads
from tests.noise import noise

from imageport.testing.command import RunImageport
from imageport.testing.http_answers import File, Gathering, HtmlPage, Stalled, Status, Truncated
from imageport.testing.http_server import Behaviour, HttpServer

BODY = noise(35 << 20)
PART = 8 << 20
SHA256 = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
PARTS = [
    None,
    *(f"bytes={start}-{min(start + PART, len(BODY)) - 1}" for start in range(PART, len(BODY), PART)),
]


@pytest.fixture
def downloads(run_imageport: RunImageport) -> Iterator[Downloads]:
    with HttpServer(refuses_head=True) as server:
        yield Downloads(run_imageport, server)


def in_order(asked: list[str | None]) -> list[str | None]:
    """Sort ranges by where they begin: connections made at the same time may come in any order."""
    return sorted(asked, key=lambda text: int(text.split("=")[1].split("-")[0]) if text else 0)


def test_the_parts_come_over_several_connections_at_the_same_time_and_in_order(downloads: Downloads) -> None:
    """The server sends no answer before three clients have asked."""
    url = downloads.server.answer("/disk.raw", Gathering(BODY, parties=3))
    done = downloads.importing(url, connections=3, checksum=SHA256)
    report = downloads.require_imported(done, BODY)
    assert in_order(downloads.server.asked("/disk.raw")) == PARTS
    conditions = [request.headers["If-Range"] for request in downloads.server.requests]
    assert sorted(map(str, conditions)) == ['"1"'] * 4 + ["None"]
    assert report["source"]["failed"] == []


def test_all_parts_come_from_the_place_that_the_redirect_named_first(downloads: Downloads) -> None:
    server = downloads.server
    server.answer("/a.raw", File(BODY))
    server.answer("/b.raw", File(noise(len(BODY), "changed")))
    url = server.answer("/disk.raw", Status(302, location="/a.raw"), Status(302, location="/b.raw"))
    downloads.require_imported(downloads.importing(url, connections=4), BODY)
    assert in_order(server.asked("/a.raw")) == PARTS
    assert server.asked("/b.raw") == []


@pytest.mark.parametrize(
    "file",
    [File(BODY, etag=None), File(BODY, etag='W/"1"'), File(BODY, ranges=False), File(BODY[:PART])],
    ids=["no-validator", "weak", "no-ranges", "one-part"],
)
def test_a_server_that_does_not_offer_parts_is_asked_once(downloads: Downloads, file: File) -> None:
    url = downloads.server.answer("/disk.raw", file)
    downloads.require_imported(downloads.importing(url, connections=4), file.data)
    assert downloads.server.asked("/disk.raw") == [None]


@pytest.mark.parametrize("refusal", [Status(403), Status(416), HtmlPage()], ids=["403", "416", "page"])
def test_where_a_part_is_refused_the_rest_comes_over_one_connection(
    downloads: Downloads, refusal: Behaviour
) -> None:
    url = downloads.server.answer("/disk.raw", File(BODY), refusal, File(BODY))
    report = downloads.require_imported(downloads.importing(url, connections=2, checksum=SHA256), BODY)
    assert report["source"]["failed"] == []
    assert downloads.server.asked("/disk.raw")[-1] == f"bytes={PART}-{len(BODY) - 1}"


def test_a_server_that_stands_one_connection_only_is_waited_for(downloads: Downloads) -> None:
    url = downloads.server.answer("/disk.raw", File(BODY), Status(503), Status(429), File(BODY))
    downloads.require_imported(downloads.importing(url, connections=2), BODY)


def test_a_server_that_only_claims_to_have_ranges_is_read_whole_by_the_next_try(downloads: Downloads) -> None:
    """It calls its file by another ETag each time, so If-Range never holds."""
    changing: list[Behaviour] = [File(BODY, etag=f'"{number}"') for number in range(12)]
    url = downloads.server.answer("/disk.raw", *changing)
    report = downloads.require_imported(downloads.importing(url, connections=2), BODY)
    assert "instead of the rest the server answered 200" in report["source"]["failed"][0]["error"]
    assert downloads.server.asked("/disk.raw")[-1] is None


@pytest.mark.parametrize("fault", [Truncated, Stalled], ids=["truncated", "stalled"])
def test_a_part_that_breaks_off_is_resumed_within_its_range(
    downloads: Downloads, fault: type[Truncated]
) -> None:
    url = downloads.server.answer("/disk.raw", File(BODY), fault(BODY, after=1000), File(BODY))
    report = downloads.require_imported(downloads.importing(url, connections=2, checksum=SHA256), BODY)
    assert report["source"]["failed"] == []
    broken = downloads.server.asked("/disk.raw")[1]
    assert broken is not None
    start, stop = map(int, broken.removeprefix("bytes=").split("-"))
    others = [text for text in downloads.server.asked("/disk.raw")[2:] if text and text.endswith(f"-{stop}")]
    (again,) = others
    assert start <= int(again.removeprefix("bytes=").split("-")[0]) <= start + 1000


def test_parts_of_different_files_are_never_mixed(downloads: Downloads) -> None:
    changed = File(noise(len(BODY), "changed"), etag='"2"')
    url = downloads.server.answer("/disk.raw", File(BODY), File(BODY), changed)
    downloads.require_imported(downloads.importing(url, connections=2), changed.data)


def test_an_import_that_is_out_of_time_waits_for_no_connection(downloads: Downloads) -> None:
    downloads.limits = {"import_deadline": 1}
    url = downloads.server.answer("/disk.raw", Gathering(BODY, parties=5))
    error = downloads.require_failed(downloads.importing(url, connections=3), 1)
    assert "was not complete after 1 s" in error["message"]
    assert len(downloads.server.requests) == 3


@pytest.mark.parametrize("connections", [0, 9, "many"])
def test_there_is_a_limit_to_what_servers_have_to_stand(downloads: Downloads, connections: object) -> None:
    done = downloads.importing("http://127.0.0.1/disk.raw", connections=connections)
    assert done.exit_code == 2
    (problem,) = done.report["error"]["problems"]
    assert "connections" in problem["key"]
