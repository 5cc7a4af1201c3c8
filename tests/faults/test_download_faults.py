"""Whole imports from servers that break off, stall, lie and change their mind."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.faults.downloads import Downloads
from tests.noise import noise

from imageport.testing.command import RunImageport
from imageport.testing.http_answers import Dripping, Endless, File, HtmlPage, Stalled, Status, Truncated
from imageport.testing.http_server import Behaviour, HttpServer

BODY = noise(3 << 20)
OTHER = noise(3 << 20, "other")
HALF = len(BODY) // 2
SHA256 = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
PUBLISHED = "Tue, 02 Jan 2024 03:04:05 GMT"


@pytest.fixture
def downloads(run_imageport: RunImageport) -> Iterator[Downloads]:
    with HttpServer(refuses_head=True) as server:
        yield Downloads(run_imageport, server)


@pytest.mark.parametrize(
    ("fault", "staging"),
    [(Truncated, "auto"), (Stalled, "file"), (Dripping, "auto")],
    ids=["truncated", "stalled", "dripping"],
)
def test_what_breaks_off_is_resumed_where_it_can_be(
    downloads: Downloads, fault: Callable[..., File], staging: str
) -> None:
    url = downloads.server.answer("/disk.raw", fault(BODY, after=HALF), File(BODY))
    report = downloads.require_imported(downloads.importing(url, staging=staging), BODY)
    first, again = downloads.server.asked("/disk.raw")
    assert first is None
    assert again is not None
    position = int(again.removeprefix("bytes=").removesuffix("-"))
    assert position == HALF if fault is not Dripping else HALF < position < len(BODY)
    assert report["source"]["url"] == url
    assert report["source"]["failed"] == []


@pytest.mark.parametrize(
    ("first", "second", "staging"),
    [
        (Truncated(BODY, after=HALF, etag=None), File(BODY, etag=None), "auto"),
        (Truncated(BODY, after=HALF, etag='W/"1"'), File(BODY, etag='W/"1"'), "file"),
        (Truncated(BODY, after=HALF, ranges=False), File(BODY, ranges=False), "file"),
        (Truncated(OTHER, after=HALF, etag='"0"'), File(BODY), "file"),
        (Truncated(OTHER, after=HALF, etag=None, modified=PUBLISHED), File(BODY, modified="other"), "auto"),
        (Truncated(BODY, after=0, etag=None), File(BODY), "auto"),
        (File(BODY[:-1], length=len(BODY), etag=None), File(BODY), "auto"),
    ],
    ids=["no-validator", "weak", "no-ranges", "other-etag", "other-date", "at-once", "too-long"],
)
def test_what_cannot_be_resumed_begins_again_once(
    downloads: Downloads, first: Behaviour, second: Behaviour, staging: str
) -> None:
    url = downloads.server.answer("/disk.raw", first, second)
    report = downloads.require_imported(downloads.importing(url, staging=staging), BODY)
    asked = downloads.server.asked("/disk.raw")
    assert asked[0] is asked[-1] is None
    assert len(asked) in (2, 3)
    assert report["source"]["url"] == url
    (failed,) = report["source"]["failed"]
    assert failed["url"] == url
    assert "the connection broke after" in failed["error"]
    assert report["source"]["bytes_read"] == len(BODY)


def test_the_second_time_it_breaks_off_the_import_fails(downloads: Downloads) -> None:
    url = downloads.server.answer("/disk.raw", Truncated(BODY, after=HALF, etag=None))
    error = downloads.require_failed(downloads.importing(url), 4)
    assert f"broke after {HALF} of {len(BODY)} bytes" in error["message"]
    assert "(after 2 tries)" in error["message"]
    assert downloads.server.asked("/disk.raw") == [None, None]


def test_a_file_that_changes_with_every_request_is_never_spliced(downloads: Downloads) -> None:
    changing = [
        Truncated(noise(len(BODY), number), after=HALF, etag=f'"{number}"', modified=PUBLISHED)
        for number in range(8)
    ]
    url = downloads.server.answer("/disk.raw", *changing)
    error = downloads.require_failed(downloads.importing(url), 4)
    assert "instead of the rest the server answered 200" in error["message"]
    assert downloads.server.asked("/disk.raw") == [None, f"bytes={HALF}-"] * 2


def test_a_wrong_digest_is_fetched_again_once(downloads: Downloads) -> None:
    url = downloads.server.answer("/disk.raw", File(OTHER), File(BODY))
    report = downloads.require_imported(downloads.importing(url, checksum=SHA256), BODY)
    assert [check["verdict"] for check in report["source"]["checks"]] == ["failed", "passed"]
    assert hashlib.sha256(OTHER).hexdigest() in report["source"]["failed"][0]["error"]


@pytest.mark.parametrize(("by", "staging"), [("method", "file"), ("step", "auto"), ("step", "file")])
def test_the_second_wrong_digest_is_final_and_both_are_reported(
    downloads: Downloads, by: str, staging: str
) -> None:
    url = downloads.server.answer("/disk.raw", File(OTHER))
    options: dict[str, Any] = {"checksum": SHA256}
    if by == "step":
        options = {"steps": ({"use": "checksum", "with": {"expected": SHA256}},)}
    error = downloads.require_failed(downloads.importing(url, staging=staging, **options), 5)
    assert hashlib.sha256(BODY).hexdigest() in error["message"]
    assert hashlib.sha256(OTHER).hexdigest() in error["message"]
    assert "(after 2 tries)" in error["message"]
    assert downloads.server.asked("/disk.raw") == [None, None]


@pytest.mark.parametrize(("code", "requests"), [(404, 1), (410, 1), (403, 1), (416, 1), (503, 3), (429, 3)])
def test_what_a_server_refuses_is_not_asked_for_again_and_what_it_cannot_do_now_a_few_times(
    downloads: Downloads, code: int, requests: int
) -> None:
    url = downloads.server.answer("/disk.raw", Status(code))
    error = downloads.require_failed(downloads.importing(url), 4)
    assert f"/disk.raw answered {code}" in error["message"]
    assert downloads.server.asked("/disk.raw") == [None] * requests


@pytest.mark.parametrize(
    "wait", ["0", "1", "Wed, 03 Jan 2024 00:00:01 GMT", "Tue, 02 Jan 2024 00:00:00 GMT", "soon"]
)
def test_a_server_is_left_alone_for_as_long_as_it_asks(downloads: Downloads, wait: str) -> None:
    url = downloads.server.answer("/disk.raw", Status(429, retry_after=wait), File(BODY))
    downloads.require_imported(downloads.importing(url), BODY)
    assert downloads.server.asked("/disk.raw") == [None, None]


@pytest.mark.parametrize(
    ("when", "wait"),
    [("first", "3600"), ("first", "9" * 18), ("resuming", "Fri, 01 Jan 2100 00:00:00 GMT")],
)
def test_a_server_that_asks_for_more_time_than_there_is_ends_the_import(
    downloads: Downloads, wait: str, when: str
) -> None:
    begun: list[Behaviour] = [Truncated(BODY, after=HALF)] if when == "resuming" else []
    url = downloads.server.answer("/disk.raw", *begun, Status(503, retry_after=wait))
    error = downloads.require_failed(downloads.importing(url), 4)
    assert "asks for a pause of" in error["message"]
    assert "limits.download_deadline" in error["hint"]
    assert len(downloads.server.requests) == 1 + len(begun)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (HtmlPage(), "is a web page, not an image"),
        (File(b""), "is empty"),
        (Status(302, location="/nowhere.raw"), "/nowhere.raw answered 404"),
        (Status(302, location="/disk.raw"), "redirects in a circle"),
        (Status(302), "redirects without a Location"),
    ],
    ids=["page", "empty", "gone", "circle", "nowhere"],
)
def test_an_answer_without_an_image_is_not_fetched_twice(
    downloads: Downloads, answer: Behaviour, message: str
) -> None:
    url = downloads.server.answer("/disk.raw", answer)
    assert message in downloads.require_failed(downloads.importing(url), 4)["message"]
    assert downloads.server.asked("/disk.raw") == [None]


@pytest.mark.parametrize(("etag", "requests"), [(None, 1), ('"1"', 4)])
def test_a_server_that_only_drips_is_given_up(downloads: Downloads, etag: str | None, requests: int) -> None:
    downloads.limits |= {"read_timeout": 0.2}
    url = downloads.server.answer("/disk.raw", Dripping(BODY, after=10, etag=etag))
    error = downloads.require_failed(downloads.importing(url), 4)
    assert "less than 1.0 KiB" in error["message"]
    assert "limits.minimum_rate" in error["hint"]
    assert "(after 2 tries)" in error["message"]
    assert len(downloads.server.requests) == 2 * requests


def test_a_download_ends_at_its_deadline_and_is_not_begun_again(downloads: Downloads) -> None:
    downloads.limits |= {"download_deadline": 1, "minimum_rate": 0}
    url = downloads.server.answer("/disk.raw", Dripping(BODY, after=HALF))
    error = downloads.require_failed(downloads.importing(url), 4)
    assert "was not complete after 1 s" in error["message"]
    assert downloads.server.asked("/disk.raw") == [None]


def test_an_endless_file_ends_at_the_cap(downloads: Downloads) -> None:
    downloads.limits |= {"image_size_cap": "8 MiB"}
    url = downloads.server.answer("/disk.raw", Endless(BODY))
    error = downloads.require_failed(downloads.importing(url), 1)
    assert "larger than 8.0 MiB" in error["message"]
    assert downloads.server.asked("/disk.raw") == [None]


def test_a_file_longer_than_announced_ends_where_it_was_announced(downloads: Downloads) -> None:
    """Bytes after the announced ones are not part of the answer (RFC 9112, section 6.2)."""
    url = downloads.server.answer("/disk.raw", File(BODY + b"x" * 512, length=len(BODY)))
    downloads.require_imported(downloads.importing(url), BODY)


def test_redirects_that_flap_are_followed_to_one_place_and_resumed_there(downloads: Downloads) -> None:
    server = downloads.server
    server.answer("/a.raw", Truncated(BODY, after=HALF), File(BODY))
    server.answer("/b.raw", File(OTHER))
    url = server.answer("/disk.raw", Status(302, location="/a.raw"), Status(302, location="/b.raw"))
    report = downloads.require_imported(downloads.importing(url), BODY)
    assert [request.path for request in server.requests] == ["/disk.raw", "/a.raw", "/a.raw"]
    assert report["source"]["url"] == url.replace("disk", "a")


def test_redirects_that_flap_between_files_never_mix_them(downloads: Downloads) -> None:
    server = downloads.server
    server.answer("/a.raw", Truncated(OTHER, after=HALF, etag=None))
    server.answer("/b.raw", File(BODY))
    url = server.answer("/disk.raw", Status(302, location="/a.raw"), Status(302, location="/b.raw"))
    report = downloads.require_imported(downloads.importing(url), BODY)
    assert report["source"]["url"] == url.replace("disk", "b")
    assert report["source"]["failed"][0]["url"] == url.replace("disk", "a")


def test_a_label_of_encoding_changes_no_byte(downloads: Downloads) -> None:
    url = downloads.server.answer("/disk.raw", File(BODY, encoding="gzip"))
    downloads.require_imported(downloads.importing(url, checksum=SHA256), BODY)
    assert downloads.server.requests[0].headers["Accept-Encoding"] == "identity"


def test_a_server_without_head_and_ranges_is_good_enough(downloads: Downloads) -> None:
    url = downloads.server.answer("/disk.raw", File(BODY, etag=None, ranges=False))
    downloads.require_imported(downloads.importing(url), BODY)
    assert [request.method for request in downloads.server.requests] == ["GET"]
