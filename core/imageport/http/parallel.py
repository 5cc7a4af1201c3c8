"""One body over several connections, for servers that are slow on each of them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING, Final

from imageport.dataplane.buffers import CHUNK_SIZE, Chunk, Chunks
from imageport.errors import SourceUnavailable

if TYPE_CHECKING:
    from imageport.http.responses import HttpResponse

log = logging.getLogger(__name__)

#: Bytes that are asked for at once on one connection; so many for each of them, and once more, are in memory.
PART: Final = 2 * CHUNK_SIZE


def parallel_chunks(response: HttpResponse, connections: int) -> Chunks:
    """Iterate over the body of *response* in order, with its parts fetched over so many connections at the same time.

    All parts are of the same body at the same url, by its validator. Where the server has none, or refuses a
    part, the rest comes over one connection. Raises the errors of ``HttpResponse.chunks``.
    """
    end = response.length
    if connections == 1 or end is None or not response.has_ranges or end - response.start <= PART:
        yield from response.chunks()
        return
    position = response.start
    parts = _parts(response, end, connections)
    try:
        for piece in parts:
            position += len(piece)
            yield piece
    except SourceUnavailable as error:
        if not error.retry:
            raise
        log.warning("%s; the rest is fetched over one connection", error)
    finally:
        parts.close()
    if position < end:
        yield from response.part(position, end).chunks()


def _parts(response: HttpResponse, end: int, connections: int) -> Generator[Chunk, None, None]:
    """Fetch parts ahead of the reader, one on each connection, and yield them in order."""
    first = response.start + PART
    # The open answer serves for the first part, and is closed then.
    parts = chain(
        [response.until(first)],
        (response.part(start, min(end, start + PART)) for start in range(first, end, PART)),
    )
    fetching: deque[tuple[HttpResponse, Future[list[Chunk]]]] = deque()
    pool = ThreadPoolExecutor(connections, thread_name_prefix="download")
    try:
        for part in parts:
            fetching.append((part, pool.submit(_fetched, part)))
            if len(fetching) == connections:
                yield from fetching[0][1].result()
                fetching.popleft()
        while fetching:
            yield from fetching[0][1].result()
            fetching.popleft()
    finally:
        for part, _ in fetching:
            part.give_up()
        pool.shutdown(cancel_futures=True)


def _fetched(part: HttpResponse) -> list[Chunk]:
    return list(part.chunks(whole=True))
