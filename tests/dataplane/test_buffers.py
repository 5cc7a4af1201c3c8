"""Buffers are shared and used again, and a view that is kept never changes."""

from __future__ import annotations

import os
from collections.abc import Iterator

from hypothesis import given, settings
from hypothesis import strategies as st

from imageport.dataplane.buffers import CHUNK_SIZE, ZERO_CHUNK, BufferPool, Chunk, rechunked


def _address(view: memoryview) -> int:
    import ctypes

    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def test_a_buffer_is_used_again_when_the_last_view_of_it_is_gone() -> None:
    pool = BufferPool()
    view = pool.lend()
    address = _address(view)
    part = view[10:20].toreadonly()
    del view
    assert _address(pool.lend()) != address
    del part
    assert _address(pool.lend()) == address


def test_a_view_keeps_its_bytes() -> None:
    pool = BufferPool()
    kept = []
    for number in range(20):
        view = pool.lend()
        view[:] = bytes([number]) * CHUNK_SIZE
        kept.append(view[number : number + 5].toreadonly())
    assert [bytes(part) for part in kept] == [bytes([number]) * 5 for number in range(20)]


def test_a_process_that_was_forked_has_other_memory_in_its_buffers() -> None:
    pool = BufferPool()
    pool.lend()[:] = b"p" * CHUNK_SIZE
    child = os.fork()
    if child == 0:
        pool.lend()[:] = b"c" * CHUNK_SIZE
        os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
    assert bytes(pool.lend()) == b"p" * CHUNK_SIZE


def test_buffers_begin_at_a_page() -> None:
    assert _address(BufferPool().lend()) % 4096 == 0


def test_pieces_that_are_as_they_should_be_pass_uncopied() -> None:
    pieces: list[Chunk] = [ZERO_CHUNK, BufferPool().lend().toreadonly(), ZERO_CHUNK]
    assert all(one is other for one, other in zip(rechunked(iter(pieces)), pieces, strict=True))


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 3 * CHUNK_SIZE), max_size=8))
def test_other_pieces_are_cut_and_joined(lengths: list[int]) -> None:
    pieces = [os.urandom(16) * (length // 16) for length in lengths]

    def chunks() -> Iterator[Chunk]:
        yield from pieces

    found = list(rechunked(chunks()))
    assert b"".join(found) == b"".join(pieces)
    assert {len(piece) for piece in found[:-1]} <= {CHUNK_SIZE}
