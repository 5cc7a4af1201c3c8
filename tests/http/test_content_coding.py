from __future__ import annotations

import bz2
import gzip
import itertools
import os
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageport import LimitExceeded, SourceUnavailable, VerificationFailed
from imageport.http import coding
from imageport.testing.contexts import make_transport
from imageport.testing.http_answers import File, Truncated
from imageport.testing.http_server import HttpServer, chunked, content

TEXT = b"0123456789abcdef *disk.raw\n" * 40
NAME = "http://mirror.example/disk.raw"


def _decoded(*pieces: bytes) -> bytes:
    return b"".join(coding.decoded(iter(pieces), NAME))


@settings(max_examples=60, deadline=None)
@given(
    members=st.lists(st.binary(max_size=3000), min_size=1, max_size=4),
    level=st.integers(0, 9),
    padding=st.integers(0, 700),
    cuts=st.lists(st.integers(0, 4000), max_size=6),
)
def test_a_coded_body_decodes_to_its_members_however_it_is_cut(
    members: list[bytes], level: int, padding: int, cuts: list[int]
) -> None:
    body = b"".join(gzip.compress(member, level) for member in members) + bytes(padding)
    edges = [0, *sorted(min(cut, len(body)) for cut in cuts), len(body)]
    pieces = [body[start:stop] for start, stop in itertools.pairwise(edges)]
    assert _decoded(*pieces) == b"".join(members)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(min_size=1, max_size=2000), cut=st.integers(3, 2000))
def test_a_coded_body_that_was_cut_off_is_an_error(data: bytes, cut: int) -> None:
    body = gzip.compress(data)
    with pytest.raises(VerificationFailed, match="the gzip data ends early"):
        _decoded(body[: min(cut, len(body) - 1)])


@settings(max_examples=60, deadline=None)
@given(data=st.binary(min_size=1, max_size=2000), place=st.integers(0, 10_000), change=st.integers(1, 255))
def test_a_coded_body_with_a_changed_byte_never_decodes_to_other_bytes(
    data: bytes, place: int, change: int
) -> None:
    body = bytearray(gzip.compress(data))
    # With a changed magic it is not gzip data, and the other fields of the header do not affect the content.
    at = 10 + place % (len(body) - 10)
    body[at] ^= change
    try:
        assert _decoded(bytes(body)) == data
    except VerificationFailed as error:
        assert error.retry
        assert error.hint


@pytest.mark.parametrize(
    "tail",
    [b"x", b"\x1f", bytes(600) + b"x", bytes(20) + gzip.compress(b"more"), b"\x1f\x8c"],
    ids=["a byte", "half of a magic", "zeros and a byte", "zeros and a member", "another magic"],
)
def test_only_zeros_may_follow_a_coded_body(tail: bytes) -> None:
    with pytest.raises(VerificationFailed, match=r"(other data after its end|ends early)"):
        _decoded(gzip.compress(TEXT) + tail)


def test_a_body_that_is_only_labelled_gzip_passes_as_it_is() -> None:
    assert _decoded(b"QFI", b"\xfb" + bytes(100)) == b"QFI\xfb" + bytes(100)
    assert _decoded(b"\x1f") == b"\x1f"
    assert _decoded() == b""


def test_a_bomb_is_stopped_and_zeros_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coding, "FREE_OUTPUT", 1 << 20)
    monkeypatch.setattr(coding, "MAX_RATIO", 100)
    with pytest.raises(LimitExceeded, match=r"expands more than 100 to 1: \S+ MiB without zeros"):
        _decoded(gzip.compress(b"x" * (8 << 20)))
    assert _decoded(gzip.compress(bytes(8 << 20))) == bytes(8 << 20)
    assert _decoded(gzip.compress(os.urandom(4 << 20))) != b""


def test_a_stream_of_empty_members_takes_time_in_proportion_to_its_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fed: list[int] = []
    real = zlib.decompressobj

    class Counting:
        def __init__(self, window: int) -> None:
            self._real = real(window)

        def decompress(self, data: bytes, most: int) -> bytes:
            fed.append(len(data))
            return self._real.decompress(data, most)

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

    monkeypatch.setattr(zlib, "decompressobj", Counting)
    body = gzip.compress(b"") * 5000
    assert _decoded(body) == b""
    assert sum(fed) < len(body) * 1000


@pytest.mark.parametrize("label", ["gzip", "x-gzip", "GZIP", "identity, gzip"])
def test_a_small_document_is_decoded(http_server: HttpServer, label: str) -> None:
    url = http_server.answer("/SUMS", content(gzip.compress(TEXT), headers={"Content-Encoding": label}))
    assert make_transport().get_text(url) == TEXT.decode()
    with make_transport().get(url) as response:
        assert response.coding == "gzip"
        assert response.body(limit=len(TEXT)) == TEXT


def test_the_limit_of_a_document_holds_for_what_it_decodes_to(http_server: HttpServer) -> None:
    body = gzip.compress(bytes(10 << 20))
    url = http_server.answer("/SUMS", content(body, headers={"Content-Encoding": "gzip"}))
    with (
        make_transport().get(url) as response,
        pytest.raises(SourceUnavailable, match=r"larger than 1\.0 MiB"),
    ):
        response.body(limit=1 << 20)


@pytest.mark.parametrize("label", ["br", "zstd", "deflate", "compress", "gzip, br", "gzip, gzip", "rot13"])
def test_a_document_in_another_coding_is_refused_by_name(http_server: HttpServer, label: str) -> None:
    url = http_server.answer("/SUMS", content(bz2.compress(TEXT), headers={"Content-Encoding": label}))
    with pytest.raises(SourceUnavailable, match=f"/SUMS was sent with Content-Encoding: {label}, ") as caught:
        make_transport().get_text(url)
    assert (
        caught.value.hint
        == "use another mirror, or ask the site to send image files without Content-Encoding"
    )
    assert not caught.value.retry


def test_a_decoded_body_is_not_resumed(http_server: HttpServer) -> None:
    body = gzip.compress(os.urandom(100_000))
    url = http_server.answer("/disk", Truncated(body, after=5000, headers={"Content-Encoding": "gzip"}))
    with make_transport().get(url) as response:
        assert response.has_ranges
        response.decode()
        assert (response.has_ranges, response.length, response.validator) == (False, None, None)
        with pytest.raises(SourceUnavailable, match="the connection broke"):
            list(response.chunks())
    assert len(http_server.requests) == 1


def test_a_rest_in_another_coding_is_never_spliced(http_server: HttpServer) -> None:
    body = os.urandom(100_000)
    url = http_server.answer(
        "/disk", Truncated(body, after=5000), File(body, headers={"Content-Encoding": "gzip"})
    )
    with (
        make_transport().get(url) as response,
        pytest.raises(SourceUnavailable, match="its Content-Encoding was identity and is now gzip"),
    ):
        list(response.chunks())


def test_a_compressed_file_is_resumed_although_it_is_labelled(http_server: HttpServer) -> None:
    body = gzip.compress(os.urandom(100_000))
    label = {"Content-Encoding": "gzip"}
    url = http_server.answer(
        "/disk.gz", Truncated(body, after=5000, headers=label), File(body, headers=label)
    )
    with make_transport().get(url) as response:
        assert b"".join(response.chunks()) == body


def test_a_coded_body_may_come_in_chunks(http_server: HttpServer) -> None:
    body = gzip.compress(TEXT)
    url = http_server.answer("/SUMS", chunked(body[:7], body[7:], headers={"Content-Encoding": "gzip"}))
    assert make_transport().get_text(url) == TEXT.decode()


@pytest.mark.parametrize(
    ("name", "label", "published"),
    [
        ("disk.raw.gz", "gzip", True),
        ("DISK.TGZ", "gzip", True),
        ("disk.tar.gz", "gzip", True),
        ("logo.svgz", "gzip", True),
        ("disk.raw.zst", "zstd", True),
        ("disk.tar.xz", "gzip", False),
        ("disk.raw.gz", "br", False),
        ("disk.qcow2", "gzip", False),
        ("latest", "gzip", False),
        (None, "gzip", False),
        ("disk.raw", "rot13", False),
    ],
)
def test_the_name_shows_whether_a_file_is_published_in_a_coding(
    name: str | None, label: str, published: bool
) -> None:
    assert coding.is_published_in(label, name) is published
