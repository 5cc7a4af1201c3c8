"""Images on disk: holes where there are zeros, and nothing of them in the page cache."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imageport.data import ImageData
from imageport.dataplane.buffers import CHUNK_SIZE, POOL, Chunk
from imageport.dataplane.sparse import SparseFile, file_chunks, nonzero_ranges
from imageport.errors import SourceUnavailable

BLOCK = 64 << 10


def _write(pieces: Iterator[Chunk] | list[Chunk], descriptor: int) -> int:
    file = SparseFile(descriptor)
    for piece in pieces:
        file.write(piece)
    return file.finish()


def _pooled(content: bytes) -> memoryview:
    view = POOL.lend()[: len(content)]
    view[:] = content
    return view.toreadonly()


@pytest.fixture(params=["disk", "memory"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Return where a file can be written, on a disk and where there is no direct way to it."""
    if request.param == "disk":
        yield tmp_path / "image"
    else:
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            yield Path(folder, "image")


def _open(path: Path) -> int:
    return os.open(path, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)


@settings(max_examples=40, deadline=None)
@given(
    runs=st.lists(st.tuples(st.booleans(), st.integers(1, 3 * BLOCK)), max_size=10),
    # Each pooled piece takes a buffer, and there are not buffers without end.
    cut=st.integers(BLOCK // 16 - 1, 5 * BLOCK),
    pooled=st.booleans(),
)
def test_a_file_holds_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[bool, int]], cut: int, *, pooled: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "written"
    content = b"".join(bytes(length) if zero else os.urandom(length) for zero, length in runs)
    pieces = [content[start : start + cut] for start in range(0, len(content), cut)]
    descriptor = _open(path)
    try:
        assert _write([_pooled(piece) if pooled else piece for piece in pieces], descriptor) == len(content)
    finally:
        os.close(descriptor)
    assert path.read_bytes() == content
    assert b"".join(file_chunks(path)) == content


@pytest.mark.parametrize("tail", [0, 1, 4095, 4096, BLOCK + 7])
def test_any_length_is_written_to_the_last_byte(path: Path, tail: int) -> None:
    content = os.urandom(CHUNK_SIZE) + bytes(CHUNK_SIZE) + os.urandom(tail)
    descriptor = _open(path)
    pieces = [_pooled(content[start : start + CHUNK_SIZE]) for start in range(0, len(content), CHUNK_SIZE)]
    _write(list(pieces), descriptor)
    os.close(descriptor)
    assert path.read_bytes() == content
    assert path.stat().st_blocks * 512 <= CHUNK_SIZE + 2 * BLOCK


def test_what_was_written_is_not_in_the_page_cache(tmp_path: Path) -> None:
    """A read that may not wait for the disk gets nothing; of a file that was written as usual it gets everything."""
    direct, usual = tmp_path / "direct", tmp_path / "usual"
    content = os.urandom(CHUNK_SIZE)
    usual.write_bytes(content)
    descriptor = _open(direct)
    _write([_pooled(content)], descriptor)
    os.close(descriptor)
    buffer = bytearray(CHUNK_SIZE)
    with usual.open("rb") as file:
        assert os.preadv(file.fileno(), [buffer], 0, os.RWF_NOWAIT) == CHUNK_SIZE
    with direct.open("rb") as file, pytest.raises(BlockingIOError):
        os.preadv(file.fileno(), [buffer], 0, os.RWF_NOWAIT)


def test_runs_of_data_are_distinguished_from_zeros() -> None:
    piece = bytes(BLOCK) + b"\0" * (BLOCK - 1) + b"x" + b"y" * BLOCK + bytes(BLOCK) + b"z"
    assert nonzero_ranges(piece) == [(BLOCK, 3 * BLOCK), (4 * BLOCK, 4 * BLOCK + 1)]
    assert nonzero_ranges(bytes(3)) == []


def test_a_file_that_is_written_to_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(os.urandom(CHUNK_SIZE) * 2)
    os.utime(path, ns=(0, 0))
    chunks = ImageData.from_file(path).chunks()
    next(chunks)
    with path.open("r+b") as file:
        file.write(b"changed")
    with pytest.raises(SourceUnavailable, match="was written to"):
        list(chunks)
