"""Copies that are read from a server which breaks off, falls silent, or refuses."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from imageport import Location, StoreFailed
from imageport.testing import Bench, HttpServer, bench
from imageport.testing.http_answers import Behaviour, File, Stalled, Status, Truncated

MIB = 1 << 20
NOISE = random.Random(8).randbytes(9 * MIB + 5)

#: What S3 servers add to an object.
HEADERS = {"x-amz-meta-imageport-token": "17"}
DATE = "Wed, 03 Jan 2024 00:00:00 GMT"

HEAD = File(NOISE, headers=HEADERS, modified=DATE)
LOCATION = Location(url="s3://images/disk", metadata={"mark": "17"})


@pytest.fixture
def store(http_server: HttpServer, tmp_path: Path) -> Iterator[Bench]:
    options = {
        "bucket": "images",
        "endpoint": http_server.url("/").rstrip("/"),
        "access_key_id": "key",
        "secret_access_key": "the-secret",
    }
    with bench("s3", options, tmp_path, is_store=True) as made:
        yield made


def offer(server: HttpServer, *behaviours: Behaviour) -> None:
    """Answer the question for the object well, and the requests for its bytes with *behaviours*."""
    server.answer("/images/disk", HEAD, *behaviours)


def test_a_connection_that_breaks_goes_on_where_it_broke_off(store: Bench, http_server: HttpServer) -> None:
    offer(http_server, Truncated(NOISE, after=5 * MIB), File(NOISE))
    assert store.read(LOCATION) == NOISE
    assert [request.range is None for request in http_server.requests] == [True, True, False]


def test_a_copy_that_was_replaced_meanwhile_is_not_mixed(store: Bench, http_server: HttpServer) -> None:
    offer(http_server, Truncated(NOISE, after=5 * MIB), File(NOISE, etag='"2"'))
    with pytest.raises(StoreFailed):
        store.read(LOCATION)


@pytest.mark.parametrize(
    ("behaviour", "message", "hint"),
    [
        (Stalled(NOISE, ranges=False, after=MIB), "", "check that the server runs"),
        (Status(403), "access is denied", "let this access key"),
        (Status(404), "missing", "copy the image from another store"),
        (Status(412), "was changed while it was read", "read it again"),
        (Status(500), "500", "check that the server runs"),
    ],
    ids=["silent", "forbidden", "missing", "changed", "broken"],
)
def test_what_keeps_a_copy_from_being_read_is_reported(
    store: Bench, http_server: HttpServer, behaviour: Behaviour, message: str, hint: str
) -> None:
    offer(http_server, behaviour)
    with pytest.raises(StoreFailed, match=r"^s3://images/disk: .*") as caught:
        store.read(LOCATION)
    assert message in caught.value.message
    assert caught.value.hint.startswith(hint)
    assert "the-secret" not in caught.value.message
