from __future__ import annotations

import hashlib

import pytest
from tests.noise import noise

from imageport import SourceRejected, SourceUnavailable
from imageport.http.headers import strong_validator
from imageport.testing.contexts import make_transport
from imageport.testing.http_answers import File, Truncated
from imageport.testing.http_server import (
    PUBLISHED,
    Behaviour,
    HttpServer,
    Reply,
    chunked,
    content,
    redirect,
    status,
)

BODY = noise(3_500_000)


def download(url: str) -> bytes:
    with make_transport().get(url) as response:
        return b"".join(response.chunks())


def ranges(server: HttpServer) -> list[tuple[str | None, str | None]]:
    return [(request.headers["Range"], request.headers["If-Range"]) for request in server.requests]


def test_a_dropped_connection_is_resumed_by_etag(http_server: HttpServer) -> None:
    """Scenario 27."""
    url = http_server.answer("/disk", Truncated(BODY, after=1_200_000), File(BODY))
    assert hashlib.sha256(download(url)).digest() == hashlib.sha256(BODY).digest()
    assert ranges(http_server) == [(None, None), ("bytes=1200000-", '"1"')]


def test_a_dropped_connection_is_resumed_by_date(http_server: HttpServer) -> None:
    broken = Truncated(BODY, etag=None, modified=PUBLISHED, after=7)
    url = http_server.answer("/disk", broken, File(BODY, etag=None, modified=PUBLISHED))
    assert download(url) == BODY
    assert ranges(http_server) == [(None, None), ("bytes=7-", PUBLISHED)]


def test_a_reset_connection_is_resumed(http_server: HttpServer) -> None:
    def reset(reply: Reply) -> None:
        Truncated(BODY, after=2_000_000)(reply)
        reply.reset()

    assert download(http_server.answer("/disk", reset, File(BODY))) == BODY


def test_any_number_of_drops_is_survived_while_bytes_come_in(http_server: HttpServer) -> None:
    assert download(http_server.answer("/disk", Truncated(BODY, after=700_000))) == BODY
    assert len(http_server.requests) == 5


def test_a_resumed_download_goes_to_the_end_of_the_redirects(http_server: HttpServer) -> None:
    http_server.answer("/mirror", Truncated(BODY, after=7), File(BODY))
    assert download(http_server.answer("/disk", redirect("/mirror"))) == BODY
    assert http_server.paths() == ["/disk", "/mirror", "/mirror"]


def test_a_resumed_download_is_validated_again(http_server: HttpServer) -> None:
    url = http_server.answer("/disk", Truncated(BODY, after=7), File(BODY))
    calls: list[str] = []

    def once(url: str, page: str | None) -> None:
        calls.append(url)
        if len(calls) > 1:
            raise SourceRejected("the rules changed")

    with pytest.raises(SourceRejected, match="the rules changed"):
        list(make_transport(validate=once).get(url).chunks())


def test_headers_of_the_caller_are_sent_again_on_resuming(http_server: HttpServer) -> None:
    url = http_server.answer("/disk", Truncated(BODY, after=7), File(BODY))
    with make_transport().get(url, headers={"X-Auth-Token": "t"}) as response:
        assert b"".join(response.chunks()) == BODY
    assert [request.headers["X-Auth-Token"] for request in http_server.requests] == ["t", "t"]


def test_a_server_in_trouble_while_resuming_is_asked_again(http_server: HttpServer) -> None:
    url = http_server.answer("/disk", Truncated(BODY, after=7), status(503), File(BODY))
    assert download(url) == BODY


def test_a_connection_that_never_gets_further_is_given_up(http_server: HttpServer) -> None:
    url = http_server.answer("/disk", Truncated(BODY, after=7), Truncated(BODY, after=0))
    with pytest.raises(
        SourceUnavailable, match="after 7 of 3500000 bytes and could not be resumed"
    ) as caught:
        download(url)
    assert caught.value.retry
    assert len(http_server.requests) == 4


def test_a_drop_without_anything_to_resume_by_names_both_numbers(http_server: HttpServer) -> None:
    """Scenario 23."""
    url = http_server.answer("/disk", content(b"x" * 500, length="1000"))
    with pytest.raises(
        SourceUnavailable, match="connection broke after 500 of 1000 bytes: the server closed the connection"
    ) as caught:
        download(url)
    assert caught.value.retry
    assert len(http_server.requests) == 1


def test_a_length_larger_than_the_file_is_never_satisfied(http_server: HttpServer) -> None:
    """Scenario 23, with a server that offers to resume."""

    def lying(reply: Reply) -> None:
        if "Range" in reply.request.headers:
            status(416)(reply)
        else:
            content(b"x" * 500, length="1000", headers={"ETag": '"1"'})(reply)

    with pytest.raises(SourceUnavailable, match=r"after 500 of 1000 bytes, and then .* answered 416"):
        download(http_server.answer("/disk", lying))


def test_chunks_that_stop_without_an_end_are_a_drop(http_server: HttpServer) -> None:
    url = http_server.answer("/disk", chunked(b"x" * 500, complete=False))
    with pytest.raises(SourceUnavailable, match="after 500 of an unknown number of bytes"):
        download(url)


def altered(**headers: str) -> Behaviour:
    """Answer a request for the rest with 206 and these headers."""

    def behave(reply: Reply) -> None:
        fields = {"Content-Range": "bytes 7-3499999/3500000", "ETag": '"1"', "Content-Length": "3499993"}
        reply.head(206, {**fields, **{name.replace("_", "-"): value for name, value in headers.items()}})
        reply.write(BODY[7:])

    return behave


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        (File(noise(3_500_000, "changed"), etag='"2"'), "instead of the rest the server answered 200"),
        (content(BODY), "instead of the rest the server answered 200"),
        (redirect("/elsewhere"), "instead of the rest the server answered 302"),
        (status(404), "instead of the rest the server answered 404"),
        (altered(ETag='"2\x1b[31m"'), r"its ETag was '\"1\"' and is now '\"2\\x1b\[31m\"'"),
        (altered(Content_Range="bytes 7-3599999/3600000"), "its size was 3500000 bytes and is now 3600000"),
        (altered(Content_Range="bytes 8-3499999/3500000"), "asked for everything from byte 7"),
        (altered(Content_Range="bytes 7-99/3500000"), "asked for everything from byte 7"),
        (altered(Content_Range="bytes */3500000"), "answered 206"),
        (altered(Content_Range="7-3499999"), "answered 206"),
    ],
)
def test_a_file_that_changed_meanwhile_is_never_spliced(
    http_server: HttpServer, second: Behaviour, problem: str
) -> None:
    url = http_server.answer("/disk", Truncated(BODY, after=7), second)
    with pytest.raises(SourceUnavailable, match=problem) as caught:
        download(url)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "first", [Truncated(BODY, after=7), chunked(BODY[:7], complete=False, headers={"ETag": '"1"'})]
)
def test_a_rest_of_unannounced_length_must_be_whole_and_is_cut_at_the_end(
    http_server: HttpServer, first: Behaviour
) -> None:
    def rest(start: int, stop: int) -> Behaviour:
        def behave(reply: Reply) -> None:
            reply.head(206, {"Content-Range": f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"})
            reply.write((BODY + b"and more")[start:stop])

        return behave

    url = http_server.answer("/disk", first, rest(7, 2_000_000), rest(2_000_000, len(BODY) + 8))
    assert download(url) == BODY
    assert [asked for asked, _ in ranges(http_server)] == [None, "bytes=7-", "bytes=2000000-"]


def test_a_server_that_announces_no_ranges_is_believed(http_server: HttpServer) -> None:
    url = http_server.answer("/disk", Truncated(BODY, after=7, headers={"Accept-Ranges": "none"}))
    with pytest.raises(SourceUnavailable, match="after 7 of 3500000 bytes"):
        download(url)
    assert len(http_server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "validator"),
    [
        ({"ETag": '"1"', "Last-Modified": PUBLISHED}, '"1"'),
        ({"ETag": 'W/"1"'}, None),
        ({"ETag": 'W/"1"', "Last-Modified": PUBLISHED, "Date": "Wed, 03 Jan 2024 00:00:00 GMT"}, PUBLISHED),
        ({"Last-Modified": PUBLISHED}, None),
        ({"Last-Modified": PUBLISHED, "Date": PUBLISHED}, None),
        ({"Last-Modified": "yesterday", "Date": PUBLISHED}, None),
        ({"Last-Modified": "Tue, 02 Jan 2024 03:04:05", "Date": "Wed, 03 Jan 2024 00:00:00 GMT"}, None),
        ({}, None),
    ],
)
def test_only_strong_validators_are_resumed_by(headers: dict[str, str], validator: str | None) -> None:
    assert strong_validator(headers) == validator
