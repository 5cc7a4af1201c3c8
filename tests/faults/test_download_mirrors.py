"""Several places of one file: the next is asked when one cannot be reached, refuses, stalls, breaks off or lies."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator

import pytest
from tests.faults.downloads import Downloads
from tests.noise import noise

from imageport.testing.command import RunImageport
from imageport.testing.http_answers import File, HtmlPage, Stalled, Status, Truncated
from imageport.testing.http_server import Behaviour, HttpServer

#: More than one piece of the stream is here when it breaks off.
BODY = noise(6 << 20)
OTHER = noise(6 << 20, "other")
HALF = 5 << 20
SHA256 = f"sha256:{hashlib.sha256(BODY).hexdigest()}"


@pytest.fixture
def downloads(run_imageport: RunImageport) -> Iterator[Downloads]:
    with HttpServer(refuses_head=True) as server:
        yield Downloads(run_imageport, server)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Status(404), "answered 404"),
        (Status(503), "answered 503"),
        (Status(503, retry_after="3600"), "answered 503"),
        (HtmlPage(), "is a web page"),
        (File(b""), "is empty"),
        (Status(302, location="http://10.0.0.1/disk.raw"), "is a private address"),
        (Stalled(BODY, after=HALF, etag=None), "sent nothing for"),
        (Truncated(BODY, after=HALF, etag=None), "the connection broke after"),
    ],
    ids=["gone", "trouble", "later", "page", "empty", "forbidden", "stalled", "truncated"],
)
def test_the_next_place_is_asked_when_one_fails(downloads: Downloads, fault: Behaviour, message: str) -> None:
    bad = downloads.server.answer("/bad.raw", fault)
    good = downloads.server.answer("/good.raw", File(BODY))
    report = downloads.require_imported(downloads.importing(bad, mirrors=[good]), BODY)
    assert report["source"]["url"] == good
    (failed,) = report["source"]["failed"]
    assert failed["url"] == bad
    assert message in failed["error"]
    assert downloads.server.asked("/bad.raw") == downloads.server.asked("/good.raw") == [None]


def test_the_next_place_is_asked_when_no_server_listens_or_the_name_is_unknown(downloads: Downloads) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    closed = f"http://127.0.0.1:{port}/disk.raw"
    unknown = "http://mirror.invalid/disk.raw"
    good = downloads.server.answer("/good.raw", File(BODY))
    report = downloads.require_imported(downloads.importing(closed, mirrors=[unknown, good]), BODY)
    assert [failed["url"] for failed in report["source"]["failed"]] == [closed, unknown]


def test_a_wrong_digest_is_fetched_from_each_place_in_turn(downloads: Downloads) -> None:
    server = downloads.server
    first, second = server.answer("/1.raw", File(OTHER)), server.answer("/2.raw", File(OTHER))
    third = server.answer("/3.raw", File(BODY))
    done = downloads.importing(first, mirrors=[second, third], checksum=SHA256)
    report = downloads.require_imported(done, BODY)
    assert report["source"]["url"] == third
    assert [failed["url"] for failed in report["source"]["failed"]] == [first, second]
    assert [request.path for request in server.requests] == ["/1.raw", "/2.raw", "/3.raw"]


def test_when_every_mirror_fails_the_error_is_the_last_one_and_the_report_has_all(
    downloads: Downloads,
) -> None:
    server = downloads.server
    first = server.answer("/1.raw", Truncated(BODY, after=HALF, etag=None))
    second, third = server.answer("/2.raw", Status(404)), server.answer("/3.raw", File(OTHER))
    done = downloads.importing(first, mirrors=[second, third], checksum=SHA256)
    error = downloads.require_failed(done, 5)
    assert hashlib.sha256(OTHER).hexdigest() in error["message"]
    assert {failed["url"] for failed in done.report["source"]["failed"]} >= {first, second}
    assert server.asked("/3.raw")[-1] is None


def test_with_a_checksum_another_place_goes_on_where_one_broke_off(downloads: Downloads) -> None:
    server = downloads.server
    bad = server.answer("/bad.raw", Truncated(BODY, after=HALF, etag=None))
    gone = server.answer("/gone.raw", Status(404))
    good = server.answer("/good.raw", File(BODY))
    done = downloads.importing(bad, mirrors=[gone, good], checksum=SHA256)
    report = downloads.require_imported(done, BODY)
    assert report["source"]["url"] == good
    assert report["source"]["bytes_read"] == len(BODY)
    assert {failed["url"] for failed in report["source"]["failed"]} == {bad, gone}
    (asked,) = server.asked("/good.raw")
    assert asked is not None
    assert 0 < int(asked.removeprefix("bytes=").removesuffix("-")) <= HALF
    assert server.requests[-1].headers["If-Range"] is None


@pytest.mark.parametrize(
    "mirror",
    [File(BODY, ranges=False), File(BODY + b"more"), HtmlPage(), Status(416)],
    ids=["no-ranges", "other-size", "page", "refused"],
)
def test_what_is_not_the_rest_of_the_same_file_is_not_taken_for_it(
    downloads: Downloads, mirror: Behaviour
) -> None:
    server = downloads.server
    bad = server.answer("/bad.raw", Truncated(BODY, after=HALF, etag=None))
    odd, good = server.answer("/odd.raw", mirror), server.answer("/good.raw", File(BODY))
    report = downloads.require_imported(downloads.importing(bad, mirrors=[odd, good], checksum=SHA256), BODY)
    assert report["source"]["url"] == good


def test_two_halves_that_do_not_fit_are_noticed_and_fetched_whole(downloads: Downloads) -> None:
    server = downloads.server
    bad = server.answer("/bad.raw", Truncated(OTHER, after=HALF, etag=None))
    good = server.answer("/good.raw", File(BODY))
    report = downloads.require_imported(downloads.importing(bad, mirrors=[good], checksum=SHA256), BODY)
    assert [check["verdict"] for check in report["source"]["checks"]] == ["failed", "passed"]
    assert server.asked("/good.raw")[-1] is None


def test_without_a_checksum_files_of_two_places_are_never_mixed(downloads: Downloads) -> None:
    server = downloads.server
    bad = server.answer("/bad.raw", Truncated(OTHER, after=HALF, etag=None))
    good = server.answer("/good.raw", File(BODY))
    downloads.require_imported(downloads.importing(bad, mirrors=[good]), BODY)
    assert server.asked("/good.raw") == [None]


def test_every_mirror_is_judged_by_the_steps(downloads: Downloads) -> None:
    """A mirror on a port that ``uri_filter`` does not allow is not connected to."""
    server = downloads.server
    bad = server.answer("/bad.raw", Status(404))
    with HttpServer(refuses_head=True) as other:
        mirror = other.answer("/disk.raw", File(BODY))
        port = int(bad.split(":")[2].partition("/")[0])
        filters = {"use": "uri_filter", "with": {"allowed_ports": [port]}}
        error = downloads.require_failed(downloads.importing(bad, mirrors=[mirror], steps=(filters,)), 3)
        assert "is not among the allowed ones" in error["message"]
        assert other.requests == []


def test_headers_are_for_the_server_of_the_source_alone(downloads: Downloads) -> None:
    bad = downloads.server.answer("/bad.raw", Status(404))
    with HttpServer(refuses_head=True) as other:
        mirror = other.answer("/disk.raw", File(BODY))
        done = downloads.importing(bad, mirrors=[mirror], headers={"X-Auth-Token": "secret"})
        downloads.require_imported(done, BODY)
        assert downloads.server.requests[0].headers["X-Auth-Token"] == "secret"
        assert other.requests[0].headers["X-Auth-Token"] is None


@pytest.mark.parametrize("mirror", ["disk.raw", "ftp://127.0.0.1/disk.raw", "http://user name@host/", ""])
def test_a_mirror_that_is_not_a_web_address_is_a_mistake_of_the_pipeline(
    downloads: Downloads, mirror: str
) -> None:
    done = downloads.importing("http://127.0.0.1/disk.raw", mirrors=[mirror])
    assert done.exit_code == 2
    (problem,) = done.report["error"]["problems"]
    assert "mirrors" in problem["key"]
