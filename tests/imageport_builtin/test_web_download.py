from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from imageport import (
    Context,
    ImageData,
    LimitExceeded,
    Source,
    SourceRejected,
    SourceUnavailable,
    UsageError,
    VerificationFailed,
)
from imageport.limits import Limits
from imageport.testing.contexts import make_context, make_transport
from imageport.testing.http_answers import File, Truncated
from imageport.testing.http_server import HttpServer, chunked, content, redirect, status
from imageport_builtin.web_download import WebDownload, WebDownloadConfig

BODY = b"x" * 500
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def events() -> list[Any]:
    return []


@pytest.fixture
def ctx(tmp_path: Path, events: list[Any]) -> Iterator[Context]:
    transport = make_transport()
    yield make_context(tmp_path, http=transport, emit=events.append)
    transport.close()


def stage(url: str | None, ctx: Context, **options: Any) -> ImageData:
    plugin = WebDownload(WebDownloadConfig(**options))
    return plugin.stage(source=Source(method="web-download", uri=url), ctx=ctx)


def verdicts(events: list[Any]) -> list[tuple[str, str | None]]:
    return [(event.message, event.verdict) for event in events if event.kind == "check"]


def read(data: ImageData) -> bytes:
    return b"".join(data.chunks())


def test_a_file_is_downloaded_with_its_size_known_before(http_server: HttpServer, ctx: Context) -> None:
    """Scenario 22."""
    data = stage(http_server.answer("/disk", content(BODY)), ctx)
    assert data.size == 500
    assert read(data) == BODY


def test_a_file_without_a_length_is_downloaded(http_server: HttpServer, ctx: Context) -> None:
    """Scenario 22."""
    data = stage(http_server.answer("/disk", chunked(BODY)), ctx)
    assert data.size is None
    assert read(data) == BODY


def test_a_body_shorter_than_announced_fails(http_server: HttpServer, ctx: Context) -> None:
    """Scenario 23."""
    data = stage(http_server.answer("/disk", content(BODY, length="501")), ctx)
    with pytest.raises(SourceUnavailable, match="500 of 501 bytes") as caught:
        read(data)
    assert caught.value.retry


@pytest.mark.parametrize("code", [404, 403])
def test_an_error_of_the_server_shows_before_anything_is_read(
    http_server: HttpServer, ctx: Context, code: int
) -> None:
    """Scenario 24."""
    with pytest.raises(SourceUnavailable, match=f"answered {code}"):
        stage(http_server.answer("/disk", status(code)), ctx)


def test_a_length_that_is_not_a_number_is_refused_at_once(http_server: HttpServer, ctx: Context) -> None:
    """Scenario 25."""
    with pytest.raises(SourceUnavailable, match="Content-Length: many"):
        stage(http_server.answer("/disk", content(BODY, length="many")), ctx)


def test_an_announced_empty_body_is_refused_at_once(http_server: HttpServer, ctx: Context) -> None:
    """Scenario 26."""
    with pytest.raises(SourceUnavailable, match="/disk is empty"):
        stage(http_server.answer("/disk", content(b"")), ctx)


def test_an_unannounced_empty_body_fails(http_server: HttpServer, ctx: Context) -> None:
    """Scenario 26."""
    data = stage(http_server.answer("/disk", chunked()), ctx)
    with pytest.raises(SourceUnavailable, match="/disk is empty"):
        read(data)


def test_a_length_above_the_cap_is_refused_before_anything_is_read(
    http_server: HttpServer, tmp_path: Path
) -> None:
    """Scenario 26."""
    transport = make_transport()
    small = make_context(tmp_path, http=transport, limits=Limits(image_size_cap=499))
    with pytest.raises(LimitExceeded, match="has 500 B, more than 499 B"):
        stage(http_server.answer("/disk", content(BODY)), small)


def test_a_broken_connection_is_resumed_and_the_digest_is_right(
    http_server: HttpServer, ctx: Context, events: list[Any]
) -> None:
    """Scenario 27."""
    url = http_server.answer("/disk", Truncated(BODY, after=100), File(BODY))
    assert read(stage(url, ctx, checksum=f"sha256:{SHA256}")) == BODY
    assert verdicts(events) == [("checksum sha256", "passed")]


@pytest.mark.parametrize(
    "checksum", [f"sha256:{SHA256}", SHA256.upper(), f"SHA-512:{hashlib.sha512(BODY).hexdigest()}"]
)
def test_the_expected_digest_is_accepted(http_server: HttpServer, ctx: Context, checksum: str) -> None:
    """Scenario 28."""
    data = stage(http_server.answer("/disk", content(BODY)), ctx, checksum=checksum)
    assert data.size == 500
    assert read(data) == BODY


def test_another_digest_fails_and_names_both_values(
    http_server: HttpServer, ctx: Context, events: list[Any]
) -> None:
    """Scenario 28."""
    data = stage(http_server.answer("/disk", content(BODY)), ctx, checksum=f"sha256:{'0' * 64}")
    with pytest.raises(VerificationFailed, match=f"is {SHA256}, but {'0' * 64} was expected"):
        read(data)
    assert verdicts(events) == [("checksum sha256", "failed")]


def test_the_digest_may_be_in_a_published_list(http_server: HttpServer, ctx: Context) -> None:
    url = http_server.answer("/images/my%20disk.qcow2?mirror=1", content(BODY))
    lists = http_server.answer("/images/SHA256SUMS", content(f"{SHA256} *./my disk.qcow2\n".encode()))
    assert read(stage(url, ctx, checksum_url=lists)) == BODY
    assert http_server.paths() == ["/images/SHA256SUMS", "/images/my%20disk.qcow2?mirror=1"]


def test_an_image_that_the_list_does_not_have_is_not_asked_for(http_server: HttpServer, ctx: Context) -> None:
    lists = http_server.answer("/SHA256SUMS", content(f"{SHA256}  other.qcow2\n".encode()))
    with pytest.raises(VerificationFailed, match=r"no checksum for .* the nearest names are 'other"):
        stage(http_server.url("/disk.qcow2"), ctx, checksum_url=lists)
    assert http_server.paths() == ["/SHA256SUMS"]


def test_a_web_page_is_not_taken_for_an_image(http_server: HttpServer, ctx: Context) -> None:
    page = content(b"<html>Please log in</html>", headers={"Content-Type": "Text/HTML; charset=utf-8"})
    data = stage(http_server.answer("/disk", page), ctx)
    with pytest.raises(SourceUnavailable, match="is a web page, not an image"):
        read(data)


def test_headers_are_sent_to_the_server_of_the_url_only(http_server: HttpServer, ctx: Context) -> None:
    """Scenario 40."""
    with HttpServer() as other:
        other.answer("/disk", content(BODY))
        url = http_server.answer("/disk", redirect(other.url("/disk")))
        assert read(stage(url, ctx, headers={"X-Auth-Token": "secret"})) == BODY
        assert http_server.requests[0].headers["X-Auth-Token"] == "secret"
        assert "X-Auth-Token" not in other.requests[0].headers


@pytest.mark.parametrize(
    "uri", ["disk.raw", "/srv/disk.raw", "-", "ftp://name/disk", "file:///disk", "http://name:0/"]
)
def test_a_uri_that_is_not_a_web_address_is_refused_before_anything_else(uri: str) -> None:
    plugin = WebDownload(WebDownloadConfig())
    with pytest.raises(SourceRejected):
        plugin.validate_source(source=Source(method="web-download", uri=uri))
    plugin.validate_source(source=Source(method="web-download", uri="https://name/disk"))


@pytest.mark.parametrize("uri", [None, ""])
def test_a_source_that_is_missing_is_asked_for(uri: str | None) -> None:
    with pytest.raises(UsageError, match="no source is given") as caught:
        WebDownload(WebDownloadConfig()).validate_source(source=Source(method="web-download", uri=uri))
    assert "name a url" in caught.value.hint


@pytest.mark.parametrize("uri", ["pub/disk.raw", "file:///srv/disk.raw", "file://name/disk.raw"])
def test_a_file_as_source_is_answered_with_the_method_for_files(uri: str) -> None:
    with pytest.raises(SourceRejected) as caught:
        WebDownload(WebDownloadConfig()).validate_source(source=Source(method="web-download", uri=uri))
    assert re.search("glance-direct|to import a local file, write its path", caught.value.hint)


@pytest.mark.parametrize(
    "options",
    [
        {"checksum": "sha256:abc"},
        {"checksum": f"sha512:{SHA256}"},
        {"checksum": "crc32:00000000"},
        {"checksum": "shake_128:00"},
        {"checksum": "0" * 63},
        {"checksum": f"sha256:{SHA256}", "checksum_url": "http://name/SHA256SUMS"},
        {"checksum_url": ""},
        {"headers": {"X-Bad\r\nHeader": "x"}},
        {"headers": {"X-Bad": "a\r\nX-Injected: b"}},
        {"headers": {"X-Bad": "ü"}},
        {"headers": {"": "x"}},
        {"retries": 3},
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        WebDownloadConfig(**options)


def test_header_values_are_secrets() -> None:
    config = WebDownloadConfig.model_validate({"headers": {"Authorization": "Bearer secret"}})
    assert "secret" not in f"{config!r} {config.model_dump()} {config.model_dump_json()}"
