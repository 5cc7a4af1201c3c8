"""Read a source that may keep a reader waiting, such as a pipe, and notice the end of the import meanwhile."""

from __future__ import annotations

import os
import select

from imageport import Chunks, Context
from imageport.dataplane import CHUNK_SIZE

#: Milliseconds between two looks at whether the import was cancelled.
_PATIENCE = 100


def read_patiently(descriptor: int, most: int, ctx: Context) -> bytes:
    """Return the next bytes, *most* at most, and none at the end. Raises ``Cancelled``, and ``OSError``."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    while not poll.poll(_PATIENCE):
        ctx.check_cancelled()
    return os.read(descriptor, most)


def read_pieces(descriptor: int, ctx: Context) -> Chunks:
    """Read to the end in pieces of ``CHUNK_SIZE``; only the last one may be shorter."""
    piece = bytearray()
    while part := read_patiently(descriptor, CHUNK_SIZE - len(piece), ctx):
        piece += part
        if len(piece) == CHUNK_SIZE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)
