"""Digests of a stream, computed beside it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from imageport import Chunks

if TYPE_CHECKING:
    from concurrent.futures import Future
    from hashlib import _Hash

#: Pieces that the digest may be behind the stream.
_MOST_BEHIND: Final = 4


def digested(chunks: Chunks, digest: _Hash) -> Chunks:
    """Pass *chunks* on, and have *digest* take them in; it is complete when they have come to their end.

    It works in a thread of its own, which is gone when this generator ends, however it ends: one digest takes longer
    than anything else that is done with the bytes.
    """
    from concurrent.futures import ThreadPoolExecutor

    behind: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1, "digest") as thread:
        for piece in chunks:
            if len(behind) == _MOST_BEHIND:
                behind.popleft().result()
            behind.append(thread.submit(digest.update, piece))
            yield piece
        for update in behind:
            update.result()
