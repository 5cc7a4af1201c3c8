from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator

import pytest

from imageport import Chunks
from imageport_builtin.digesting import digested

PIECES = [bytes([number]) * 70_000 for number in range(23)]


def beside() -> list[str]:
    """Return the threads that compute digests."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("digest")]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert beside() == []


def test_the_pieces_pass_as_they_are_and_the_digest_is_theirs() -> None:
    digest = hashlib.sha256()
    passed = list(digested(iter(PIECES), digest))
    assert all(out is put for out, put in zip(passed, PIECES, strict=True))
    assert digest.hexdigest() == hashlib.sha256(b"".join(PIECES)).hexdigest()


def test_views_of_memory_are_let_go() -> None:
    memory = bytearray(b"".join(PIECES))
    view = memoryview(memory).toreadonly()
    pieces = (view[start : start + 70_000] for start in range(0, len(view), 70_000))
    digest = hashlib.sha256()
    assert sum(len(piece) for piece in digested(pieces, digest)) == len(memory)
    pieces.close()
    view.release()
    memory.clear()  # raises BufferError when somebody still holds a view
    assert digest.hexdigest() == hashlib.sha256(b"".join(PIECES)).hexdigest()


def test_no_bytes_have_a_digest_too() -> None:
    digest = hashlib.sha256()
    assert list(digested(iter([]), digest)) == []
    assert digest.hexdigest() == hashlib.sha256().hexdigest()


def test_an_error_of_the_stream_comes_through() -> None:
    def broken() -> Chunks:
        yield from PIECES
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        list(digested(broken(), hashlib.sha256()))


def test_a_reader_may_stop_anywhere() -> None:
    chunks = digested(iter(PIECES), hashlib.sha256())
    next(chunks)
    assert len(beside()) == 1
    chunks.close()  # type: ignore[attr-defined]  # it is a generator


def test_an_error_of_the_digest_ends_the_stream() -> None:
    pieces: list[object] = [b"x", "text", *PIECES]
    with pytest.raises(TypeError):
        list(digested(iter(pieces), hashlib.sha256()))  # type: ignore[arg-type]
