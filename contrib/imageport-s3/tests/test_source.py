"""Images that are read from buckets: whole, resumed, and refused with a reason."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from conftest import BUCKET, Bucket
from imageport import ImageData, ImageRecord, Source, SourceRejected, SourceUnavailable, UsageError
from imageport.testing import Bench, HttpServer, bench
from imageport.testing.http_answers import File, Stalled, Truncated

MIB = 1 << 20
NOISE = random.Random(6).randbytes(9 * MIB + 5)


@pytest.fixture
def method(bucket: Bucket, tmp_path: Path) -> Iterator[Bench]:
    with bench("s3-download", bucket.access, tmp_path) as made:
        yield made


def stage(method: Bench, uri: str | None) -> ImageData:
    """Return the data of the object at *uri*."""
    return method.stage(Source(method="s3-download", uri=uri), ImageRecord(id="image"))


def read(method: Bench, uri: str | None) -> bytes:
    """Return the bytes of the object at *uri*."""
    return b"".join(method.chunks(stage(method, uri)))


@pytest.mark.parametrize("content", [NOISE, b"x", b""], ids=["several chunks", "one byte", "no bytes"])
def test_an_object_is_read(method: Bench, bucket: Bucket, content: bytes) -> None:
    url = bucket.put("disk.raw", content)
    data = stage(method, url)
    assert (data.size, data.name) == (len(content), "disk.raw")
    assert b"".join(method.chunks(data)) == content


@pytest.mark.parametrize("name", ["a b.raw", "ä.raw", "x%2Fy.raw", "q?r#s.raw", "a//b.raw"])
def test_names_with_odd_characters_are_read(method: Bench, bucket: Bucket, name: str) -> None:
    bucket.put(name, b"boot me")
    assert read(method, f"s3://{BUCKET}/{bucket.prefix}{quote(name)}") == b"boot me"


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        (None, UsageError),
        ("https://example.org/disk.raw", SourceRejected),
        ("/srv/disk.raw", SourceRejected),
        ("s3://", SourceRejected),
        (f"s3://{BUCKET}", SourceRejected),
        (f"s3://{BUCKET}/", SourceRejected),
        (f"s3://key:secret@{BUCKET}/disk.raw", SourceRejected),
    ],
)
def test_other_sources_are_refused(method: Bench, uri: str | None, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        method.validate(Source(method="s3-download", uri=uri), ImageRecord(id="image"))
    assert "secret@" not in str(caught.value)


def test_a_missing_object_is_reported(method: Bench) -> None:
    with pytest.raises(SourceUnavailable, match="404") as caught:
        read(method, f"s3://{BUCKET}/missing")
    assert not caught.value.retry


def test_a_wrong_secret_is_reported_without_it(bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put("disk.raw", NOISE)
    with (
        bench("s3-download", {**bucket.access, "secret_access_key": "not-the-secret"}, tmp_path) as method,
        pytest.raises(SourceUnavailable, match="403") as caught,
    ):
        read(method, url)
    assert caught.value.hint.startswith("check the access key and its secret")
    assert "not-the-secret" not in str(caught.value)


def test_an_object_that_is_not_public_is_not_read_without_a_key(bucket: Bucket, tmp_path: Path) -> None:
    url = bucket.put("disk.raw", NOISE)
    with (
        bench("s3-download", {"endpoint": bucket.facts["endpoint"], "anonymous": True}, tmp_path) as method,
        pytest.raises(SourceUnavailable, match="403"),
    ):
        read(method, url)


def test_a_server_that_is_not_there_is_reported(tmp_path: Path) -> None:
    with (
        bench("s3-download", {"endpoint": "http://127.0.0.1:1", "anonymous": True}, tmp_path) as method,
        pytest.raises(SourceUnavailable, match="refused") as caught,
    ):
        read(method, f"s3://{BUCKET}/disk.raw")
    assert caught.value.retry


def test_a_server_in_a_network_that_is_not_permitted_is_refused(tmp_path: Path) -> None:
    options: dict[str, Any] = {"endpoint": "http://169.254.169.254", "anonymous": True}
    with bench("s3-download", options, tmp_path) as method, pytest.raises(SourceRejected, match="metadata"):
        read(method, f"s3://{BUCKET}/disk.raw")


def test_an_object_that_is_replaced_while_it_is_read_is_not_mixed(method: Bench, bucket: Bucket) -> None:
    url = bucket.put("disk.raw", random.Random(1).randbytes(64 * MIB))
    chunks = method.chunks(stage(method, url))
    next(chunks)
    other = random.Random(2).randbytes(64 * MIB)
    bucket.put("disk.raw", other)
    try:
        rest = b"".join(chunks)
    except SourceUnavailable as error:
        assert error.retry
    else:
        assert not other.endswith(rest[-MIB:])


def test_a_connection_that_breaks_goes_on_where_it_broke_off(http_server: HttpServer, tmp_path: Path) -> None:
    url = http_server.answer("/bucket/disk.raw", Truncated(NOISE, after=5 * MIB), File(NOISE))
    options = {"endpoint": url.removesuffix("/bucket/disk.raw"), "anonymous": True}
    with bench("s3-download", options, tmp_path) as method:
        assert read(method, "s3://bucket/disk.raw") == NOISE
    ranges = [request.range for request in http_server.requests]
    assert len(ranges) == 2
    assert (ranges[0], str(ranges[1]).startswith("bytes=")) == (None, True)


def test_a_silent_server_is_given_up(http_server: HttpServer, tmp_path: Path) -> None:
    url = http_server.answer("/bucket/disk.raw", Stalled(NOISE, after=MIB, ranges=False))
    options = {"endpoint": url.removesuffix("/bucket/disk.raw"), "anonymous": True}
    with bench("s3-download", options, tmp_path) as method, pytest.raises(SourceUnavailable) as caught:
        read(method, "s3://bucket/disk.raw")
    assert caught.value.retry


def test_a_presigned_url_is_read_without_a_plugin(bucket: Bucket, tmp_path: Path) -> None:
    bucket.put("disk.raw", NOISE)
    url = bucket.client.generate_presigned_url(
        "get_object", Params={"Bucket": BUCKET, "Key": f"{bucket.prefix}disk.raw"}
    )
    with bench("web-download", {}, tmp_path) as method:
        data = method.stage(Source(method="web-download", uri=url), ImageRecord(id="image"))
        assert b"".join(method.chunks(data)) == NOISE
