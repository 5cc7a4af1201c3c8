"""Digests have the values of hashlib, are computed beside the stream, and each once for the same bytes."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import pytest

from imageport import Chunks, ImageData
from imageport.digests import PassingDigest, new_digest

PIECES = [bytes([number]) * 70_000 for number in range(23)]
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
    digest = new_digest(name)
    for piece in PIECES:
        digest.update(memoryview(piece))
    assert digest.hexdigest() == digest.hexdigest() == hashlib.new(name, BODY).hexdigest()


def test_an_unknown_digest_is_refused() -> None:
    with pytest.raises(ValueError, match="md55"):
        new_digest("md55")


def test_the_pieces_pass_as_they_are_and_the_digest_is_theirs() -> None:
    digest = PassingDigest("sha256")
    passed = list(digest.beside(iter(PIECES)))
    assert all(out is put for out, put in zip(passed, PIECES, strict=True))
    assert digest.value == hashlib.sha256(BODY).hexdigest()


def test_views_of_memory_are_let_go() -> None:
    memory = bytearray(BODY)
    view = memoryview(memory).toreadonly()
    pieces = (view[start : start + 70_000] for start in range(0, len(view), 70_000))
    digest = PassingDigest("sha256")
    assert sum(len(piece) for piece in digest.beside(pieces)) == len(memory)
    pieces.close()
    view.release()
    memory.clear()  # raises BufferError when somebody still holds a view
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


def test_an_error_of_the_digest_ends_the_stream() -> None:
    pieces: list[object] = [b"x", "text", *PIECES]
    with pytest.raises(TypeError):
        list(PassingDigest("sha256").beside(iter(pieces)))  # type: ignore[arg-type]


def stream() -> ImageData:
    return ImageData.from_chunks(lambda: iter(PIECES), size=len(BODY))


def test_whoever_asks_for_a_digest_gets_it_after_the_last_byte() -> None:
    seen: list[object] = []
    data = stream().digested("md5", seen.append).digested("sha256", seen.append)
    for piece in data.chunks():
        seen.append(len(piece))
    assert seen[: len(PIECES)] == [70_000] * len(PIECES)
    assert seen[len(PIECES) :] == [hashlib.md5(BODY).hexdigest(), hashlib.sha256(BODY).hexdigest()]
    assert {name: digest.value for name, digest in data.digests.items()} == {
        "md5": hashlib.md5(BODY).hexdigest(),
        "sha256": hashlib.sha256(BODY).hexdigest(),
    }


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
    assert data.watched(lambda chunks: chunks).digests == {}
    assert data.through(lambda chunks: chunks).digests == {}


def test_what_a_check_raises_ends_the_stream() -> None:
    def refuse(value: str) -> None:
        raise LookupError(value)

    with pytest.raises(LookupError, match=hashlib.sha256(BODY).hexdigest()):
        list(stream().digested("sha256", refuse).chunks())
