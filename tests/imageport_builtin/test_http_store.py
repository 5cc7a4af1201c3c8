from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from imageport import Context, Location, NoConfig, SourceRejected, StoreFailed
from imageport.testing.contexts import make_context, make_transport
from imageport.testing.http_server import HttpServer, content, status
from imageport.values import StoredCopy
from imageport_builtin.http_store import HttpStore

BODY = bytes(range(256)) * 8192


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path, http=make_transport())


def test_a_copy_is_read_from_its_url(http_server: HttpServer, ctx: Context) -> None:
    data = HttpStore(NoConfig()).store_read(Location(url=http_server.publish("/copy", BODY)), ctx)
    assert data.size == len(BODY)
    assert b"".join(data.chunks()) == BODY


@pytest.mark.parametrize("name", ["/copy", "/copy.gz"])
def test_a_copy_that_is_compressed_while_it_is_sent_is_read_as_stored(
    http_server: HttpServer, ctx: Context, name: str
) -> None:
    packed = gzip.compress(BODY)
    url = http_server.answer(name, content(packed, headers={"Content-Encoding": "gzip"}))
    data = HttpStore(NoConfig()).store_read(Location(url=url), ctx)
    assert b"".join(data.chunks()) == (packed if name.endswith(".gz") else BODY)


def test_a_missing_copy_is_a_failure_of_the_store(http_server: HttpServer, ctx: Context) -> None:
    with pytest.raises(StoreFailed, match="answered 404 Not Found") as caught:
        HttpStore(NoConfig()).store_read(Location(url=http_server.url("/copy")), ctx)
    assert caught.value.hint


def test_a_copy_is_seen_without_reading_it(http_server: HttpServer, ctx: Context) -> None:
    store = HttpStore(NoConfig())
    there = Location(url=http_server.publish("/copy", BODY))
    assert store.store_stat(there, ctx) == StoredCopy(location=there, size=len(BODY))
    assert store.store_stat(Location(url=http_server.url("/missing")), ctx) is None


def test_a_copy_whose_server_refuses_is_not_missing(http_server: HttpServer, ctx: Context) -> None:
    url = http_server.answer("/copy", status(403))
    with pytest.raises(StoreFailed, match="403"):
        HttpStore(NoConfig()).store_stat(Location(url=url), ctx)


def test_a_truncated_copy_is_a_failure_of_the_store(http_server: HttpServer, ctx: Context) -> None:
    url = http_server.answer("/copy", content(BODY, length=str(len(BODY) + 1)))
    data = HttpStore(NoConfig()).store_read(Location(url=url), ctx)
    with pytest.raises(StoreFailed, match="connection broke after 2097152 of 2097153 bytes"):
        list(data.chunks())


def test_the_address_of_a_copy_is_judged_like_any_other(tmp_path: Path) -> None:
    strict = make_context(tmp_path, http=make_transport(allow=()))
    with pytest.raises(SourceRejected):
        HttpStore(NoConfig()).store_read(Location(url="http://127.0.0.1/copy"), strict)


def test_nothing_can_be_written_to_it() -> None:
    assert not hasattr(HttpStore, "store_write")
