"""Large buffers that are filled once, shared by all readers, and reused after the last one."""

from __future__ import annotations

import ctypes
import mmap
import weakref
from collections import deque
from collections.abc import Iterator

#: Bytes in one piece of a stream; only the last piece may be shorter.
CHUNK_SIZE = 4 << 20

#: Pieces of a stream that are known to be zero are this very object, so that they need not be examined again.
ZERO_CHUNK = bytes(CHUNK_SIZE)

#: One part of the bytes of an image: ``bytes``, or a read-only view of a buffer, which does not change as long as the
#: view is there.
Chunk = bytes | memoryview

#: The bytes of an image in order, in pieces.
Chunks = Iterator[Chunk]


class BufferPool:
    """Page-aligned buffers of ``CHUNK_SIZE`` bytes.

    No memory is copied or cleared on the way from the source to digests and stores: each gets a view of the same
    buffer. A view keeps its bytes; nothing has to be returned. Beyond *spare* unused buffers,
    memory goes back to the system.
    """

    def __init__(self, *, spare: int = 8) -> None:
        self._unused: deque[mmap.mmap] = deque(maxlen=spare)
        self._lent: dict[mmap.mmap, weakref.ref[ctypes.Array[ctypes.c_char]]] = {}

    def lend(self) -> memoryview:
        """Return a writable view of ``CHUNK_SIZE`` bytes, whose content is undefined; pass on read-only ones only."""
        try:
            memory = self._unused.pop()
        except IndexError:
            # Shared memory would be written by every process that is forked from this one.
            memory = mmap.mmap(-1, CHUNK_SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        # Views refer to this object and not to the mapping, so its end is the end of the last view.
        holder = (ctypes.c_char * CHUNK_SIZE).from_buffer(memory)

        def give_back(_: weakref.ref[ctypes.Array[ctypes.c_char]]) -> None:
            del self._lent[memory]
            self._unused.append(memory)

        self._lent[memory] = weakref.ref(holder, give_back)
        return memoryview(holder).cast("B")


#: The buffers of this process.
POOL = BufferPool()


def lend_buffer() -> memoryview:
    """Return a writable view of ``CHUNK_SIZE`` bytes, aligned and not shared, whose content is undefined.

    For plugins that read into memory: pass on ``view[:count].toreadonly()``, and take another one for the next piece.
    The memory is reused after its last view is gone.
    """
    return POOL.lend()


def rechunked(chunks: Chunks) -> Chunks:
    """Cut and join *chunks* to aligned pieces of ``CHUNK_SIZE``; those that are so already pass uncopied."""
    buffer: memoryview | None = None
    have = 0
    for piece in chunks:
        if not have and len(piece) == CHUNK_SIZE and (piece is ZERO_CHUNK or isinstance(piece, memoryview)):
            yield piece
            continue
        rest = memoryview(piece)
        while rest:
            if buffer is None:
                buffer = POOL.lend()
            count = min(len(rest), CHUNK_SIZE - have)
            buffer[have : have + count] = rest[:count]
            rest = rest[count:]
            have += count
            if have == CHUNK_SIZE:
                full, buffer, have = buffer.toreadonly(), None, 0
                yield full
                del full
    if buffer is not None:
        yield buffer[:have].toreadonly()


def is_read_only(chunk: object) -> bool:
    """Return whether *chunk* is ``bytes``, or a view of contiguous bytes through which nothing else is written."""
    return isinstance(chunk, bytes) or (
        isinstance(chunk, memoryview)
        and chunk.readonly
        and chunk.contiguous
        and (chunk.ndim, chunk.itemsize) == (1, 1)
    )
