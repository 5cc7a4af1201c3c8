"""Bytes are read once, in order; holes are neither read nor written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageport import ImageData
from imageport.dataplane import CHUNK_SIZE, ZERO_CHUNK, write_sparse


def _stream(*pieces: bytes) -> ImageData:
    return ImageData.from_chunks(lambda: iter(pieces))


def test_nothing_is_opened_before_it_is_read() -> None:
    opened = []

    def pieces() -> Iterator[bytes]:
        opened.append(True)
        yield b"abc"

    data = ImageData.from_chunks(pieces).through(lambda chunks: (bytes(piece).upper() for piece in chunks))
    assert not opened
    assert b"".join(data.chunks()) == b"ABC"


def test_peeking_does_not_consume() -> None:
    data = _stream(b"ab", b"cd", b"ef")
    assert data.peek(3) == b"abc"
    assert data.peek(1) == b"a"
    assert data.peek(99) == b"abcdef"
    assert b"".join(data.chunks()) == b"abcdef"
    assert data.finished


def test_a_stream_is_read_once() -> None:
    data = _stream(b"abc")
    list(data.chunks())
    with pytest.raises(RuntimeError, match="read already"):
        data.chunks()
    with pytest.raises(RuntimeError, match="peek before reading"):
        data.peek(1)


def test_a_stream_that_is_left_early_is_not_finished() -> None:
    data = _stream(b"abc", b"def")
    next(data.chunks())
    assert not data.finished


def test_dropping_a_peeked_stream_closes_what_is_behind_it() -> None:
    closed = []

    def pieces() -> Iterator[bytes]:
        try:
            yield b"abc"
            yield b"def"
        finally:
            closed.append(True)

    data = ImageData.from_chunks(pieces)
    data.peek(1)
    data.close()
    assert closed


def test_a_file_can_be_read_again(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(b"abc" * CHUNK_SIZE)
    data = ImageData.from_file(path)
    assert data.size == 3 * CHUNK_SIZE
    assert b"".join(data.chunks()) == b"".join(data.chunks()) == path.read_bytes()


def test_a_reader_gives_the_same_bytes_in_any_pieces() -> None:
    with _stream(b"abc", b"", b"defgh").reader() as file:
        assert file.read(4) == b"abcd"
        assert file.read() == b"efgh"


def test_holes_of_a_file_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    chunks = ImageData.from_file(path).chunks()
    assert all(next(chunks) is ZERO_CHUNK for _ in range(1000))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 200_000)), max_size=12), st.integers(999, 300_000))
def test_sparse_files_hold_what_was_written(runs: list[tuple[bool, int]], cut: int) -> None:
    content = b"".join(bytes(length) if zero else os.urandom(length) for zero, length in runs)
    descriptor = os.memfd_create("image")
    try:
        path = Path(f"/proc/self/fd/{descriptor}")
        for start in range(0, len(content), cut):
            write_sparse(descriptor, content[start : start + cut], start)
        os.ftruncate(descriptor, len(content))
        assert path.read_bytes() == content
        assert b"".join(ImageData.from_file(path).chunks()) == content
    finally:
        os.close(descriptor)


def test_zeros_take_no_space(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY)
    try:
        written = write_sparse(descriptor, bytes(CHUNK_SIZE) + b"x" + bytes(CHUNK_SIZE), 0)
        os.ftruncate(descriptor, 2 * CHUNK_SIZE + 1)
    finally:
        os.close(descriptor)
    assert 0 < written <= 64 << 10
    assert path.stat().st_blocks * 512 <= 128 << 10
