"""Digests have the values of hashlib, are computed beside the stream, and each once for the same bytes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import pytest
from cryptography.exceptions import InternalError, UnsupportedAlgorithm

from imageport import Chunks, ImageData
from imageport.dataplane import CHUNK_SIZE, ZERO_CHUNK, Chunk
from imageport.dataplane.digests import PassingDigest, new_hasher

#: Some become one piece of a stream, and the rest another.
PIECES = [bytes([number]) * 400_000 for number in range(23)]
BODY = b"".join(PIECES)


def beside() -> list[str]:
    """Return the threads that compute digests."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("digest")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert beside() == []


@pytest.mark.parametrize("name", sorted(hashlib.algorithms_guaranteed - {"shake_128", "shake_256"}))
def test_a_digest_has_the_value_of_hashlib(name: str) -> None:
    digest = new_hasher(name)
    for piece in PIECES:
        digest.update(memoryview(piece))
    assert digest.hexdigest() == digest.hexdigest() == hashlib.new(name, BODY).hexdigest()


def test_an_unknown_digest_is_refused() -> None:
    with pytest.raises(ValueError, match="md55"):
        new_hasher("md55")


def test_the_pieces_pass_as_they_are_and_the_digest_is_theirs() -> None:
    pieces: list[Chunk] = [ZERO_CHUNK, memoryview(bytes(range(256)) * (CHUNK_SIZE >> 8)), ZERO_CHUNK]
    digest = PassingDigest("sha256")
    passed = list(digest.beside(iter(pieces)))
    assert all(out is put for out, put in zip(passed, pieces, strict=True))
    assert digest.value == hashlib.sha256(b"".join(pieces)).hexdigest()


def test_memory_that_a_source_uses_again_does_not_change_what_was_digested() -> None:
    memory = bytearray(1000)

    def reusing() -> Chunks:
        for number in range(50):
            memory[:] = bytes([number]) * len(memory)
            yield memoryview(memory).toreadonly()

    digest = PassingDigest("sha256")
    content = b"".join(digest.beside(reusing()))
    assert len(content) == 50_000
    assert digest.value == hashlib.sha256(content).hexdigest()


def test_a_digest_is_not_reported_before_it_is_known() -> None:
    data = stream().digested("sha256")
    chunks = data.chunks()
    next(chunks)
    with pytest.raises(RuntimeError, match="sha256 is not known"):
        data.digest("sha256")
    chunks.close()  # type: ignore[attr-defined]  # it is a generator


def test_a_cryptography_that_lets_no_other_thread_run_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not isinstance(new_hasher("md5"), type(hashlib.md5()))
    monkeypatch.setattr("cryptography.__version__", "49.0.0")
    assert isinstance(new_hasher("md5"), type(hashlib.md5()))


@pytest.mark.parametrize("error", [UnsupportedAlgorithm("md5"), InternalError("md5", [])])
def test_what_cryptography_refuses_is_left_to_hashlib(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("cryptography.hazmat.primitives.hashes.Hash", refuse)
    digest = new_hasher("md5")
    digest.update(BODY)
    assert digest.hexdigest() == hashlib.md5(BODY).hexdigest()


def test_views_of_memory_are_let_go() -> None:
    memory = bytearray(BODY)
    view = memoryview(memory).toreadonly()
    pieces = (view[start : start + 400_000] for start in range(0, len(view), 400_000))
    digest = PassingDigest("sha256")
    assert sum(len(piece) for piece in digest.beside(pieces)) == len(BODY)
    pieces.close()
    view.release()
    memory.clear()  # raises BufferError while another object holds a view
    assert digest.value == hashlib.sha256(BODY).hexdigest()


def test_no_bytes_have_a_digest_too() -> None:
    digest = PassingDigest("sha256")
    assert list(digest.beside(iter([]))) == []
    assert digest.value == hashlib.sha256().hexdigest()


def test_an_error_of_the_stream_comes_through() -> None:
    def broken() -> Chunks:
        yield from PIECES
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        list(PassingDigest("sha256").beside(broken()))


def test_a_reader_may_stop_anywhere() -> None:
    chunks = PassingDigest("sha256").beside(iter(PIECES))
    next(chunks)
    assert len(beside()) == 1
    chunks.close()  # type: ignore[attr-defined]  # it is a generator


@pytest.mark.parametrize("wrong", ["text", [0, 1, 2], 3])
def test_a_chunk_that_is_not_bytes_ends_the_stream(wrong: object) -> None:
    pieces: list[object] = [b"x", wrong, *PIECES]
    with pytest.raises(TypeError):
        list(PassingDigest("sha256").beside(iter(pieces)))  # type: ignore[arg-type]


def stream() -> ImageData:
    """Return the body as a stream."""
    return ImageData.from_chunks(lambda: iter(PIECES), size=len(BODY))


def test_a_digest_is_available_after_the_last_byte() -> None:
    seen: list[object] = []
    data = stream().digested("md5", seen.append).digested("sha256", seen.append)
    for piece in data.chunks():
        seen.append(bytes(piece))
    found = [value for value in seen if isinstance(value, str)]
    assert b"".join(piece for piece in seen if isinstance(piece, bytes)) == BODY
    assert found == [hashlib.md5(BODY).hexdigest(), hashlib.sha256(BODY).hexdigest()]
    assert seen[-1] == found[-1]
    assert data.digests == {"md5", "sha256"}
    assert [data.digest("md5"), data.digest("sha256")] == found


def test_a_digest_that_is_wanted_twice_is_computed_once() -> None:
    seen: list[str] = []
    data = stream().digested("sha256", seen.append).digested("md5").digested("sha256", seen.append)
    chunks = data.chunks()
    next(chunks)
    assert len(beside()) == 2
    assert len(list(chunks)) == len(PIECES) - 1
    assert seen == [hashlib.sha256(BODY).hexdigest()] * 2


def test_digests_are_not_those_of_what_another_makes_of_the_bytes() -> None:
    data = stream().digested("sha256")
    assert data.counted(lambda chunks: chunks).digests == {"sha256"}
    assert data.tapped(lambda chunks: chunks).digests == frozenset()
    assert data.through(lambda chunks: chunks).digests == frozenset()


def test_what_a_check_raises_ends_the_stream() -> None:
    def refuse(value: str) -> None:
        raise LookupError(value)

    with pytest.raises(LookupError, match=hashlib.sha256(BODY).hexdigest()):
        list(stream().digested("sha256", refuse).chunks())


def test_bytes_are_verified_once_a_comparison_has_matched() -> None:
    compared = stream().digested("sha256", lambda value: None)
    data = compared.tapped(lambda chunks: chunks).counted(lambda chunks: chunks)
    chunks = data.chunks()
    next(chunks)
    assert not data.verified
    list(chunks)
    assert data.verified
    assert not stream().digested("sha256").verified


def test_bytes_are_not_verified_by_a_comparison_of_others() -> None:
    compared = stream().digested("sha256", lambda value: None)
    data = compared.through(lambda chunks: chunks)
    list(data.chunks())
    assert compared.verified
    assert not data.verified


def test_bytes_are_not_verified_by_a_comparison_that_failed() -> None:
    def refuse(value: str) -> None:
        raise LookupError(value)

    data = stream().digested("sha256", refuse)
    with pytest.raises(LookupError):
        list(data.chunks())
    assert not data.verified
