"""The answer to a request: its header, and its body in chunks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from typing import Final

from imageport.dataplane.buffers import CHUNK_SIZE, POOL, Chunks, rechunked
from imageport.errors import SourceUnavailable
from imageport.http.body import Resource, ResumedBody
from imageport.http.coding import coding_of, decoded, is_published_in, require_known
from imageport.http.connections import Watch
from imageport.http.exchange import Exchange, Rest
from imageport.http.headers import announced_length, strong_validator
from imageport.limits import format_size

#: Seconds after which the part of a piece that is here goes on its way.
_SLOW: Final = 1.0


class HttpResponse:
    """An open answer. Close it, or use it in a ``with`` statement.

    ``url`` is the address after all redirects, without credentials. ``headers`` ignores case. ``coding`` is the
    Content-Encoding of the body, which servers send although ``identity`` was asked for, or None. The body is passed on
    as it was sent, unless ``decode`` was called (``is_decoding``): a file that is published compressed is labelled with
    a coding, too (``is_as_published``).

    ``filename`` is the name under which the server publishes the body, without folders, or None (see
    ``filenames.filename_of``).

    ``start`` is the position of the first byte that comes, 0 unless the *rest* of a body was asked for and the server
    has it; ``length`` is the size of the whole body as announced, or None when the server does not announce it.
    ``validator`` distinguishes this body from later ones; it may be None.
    """

    def __init__(
        self,
        url: str,
        exchange: Exchange,
        *,
        name: str,
        reopen: Callable[[Mapping[str, str], Watch], Exchange],
        watch: Watch,
        rest: Rest | None = None,
        filename: str | None = None,
    ) -> None:
        self.url = url
        self.status: int = exchange.answer.status
        self.headers: Mapping[str, str] = exchange.headers
        self.start = rest.start if rest else 0
        self.length = rest.total_of(exchange.answer) if rest else announced_length(exchange.answer.headers)
        # A server need not repeat the validator by which the rest was asked for.
        self.validator = strong_validator(self.headers) or (rest.validator if rest else None)
        self.coding = coding_of(self.headers)
        self.filename = filename
        self.is_decoding = False
        ranges = self.headers.get("Accept-Ranges", "").lower()
        self._body = ResumedBody(
            Resource(name, reopen, self.validator, self.coding, ranges),
            watch,
            exchange,
            position=self.start,
            total=self.length,
        )

    @property
    def is_as_published(self) -> bool:
        """Whether the body as sent is the file, as far as its name shows: not coded, or called for instance disk.gz."""
        return self.coding is None or is_published_in(self.coding, self.filename)

    @property
    def closed(self) -> bool:
        """True when the answer was closed."""
        return self._body.closed

    @property
    def has_ranges(self) -> bool:
        """True when the server offers parts of this very body."""
        return self._body.resource.has_ranges

    def until(self, stop: int) -> HttpResponse:
        """Return this answer, which ends before byte *stop* from now on."""
        self._body.stop = stop
        return self

    def part(self, start: int, stop: int) -> HttpResponse:
        """Return the part of this body from *start* to before *stop*; it is asked for when it is read."""
        part = copy(self)
        part.start = start
        part._body = self._body.part(start, stop)
        return part

    def give_up(self) -> None:
        """Let ``chunks`` raise ``Cancelled`` in the thread that reads."""
        self._body.watch.stop()

    def decode(self) -> None:
        """Have the body come without its Content-Encoding, if it has one.

        Such a body cannot be resumed or fetched in parts, and its ``length`` is not known beforehand. Raises
        ``SourceUnavailable``, and hangs up, for a coding other than gzip.
        """
        if self.coding is None:
            return
        try:
            require_known(self.coding, self._body.resource.name)
        except SourceUnavailable:
            self.close()
            raise
        # Ranges count the bytes of the coded body, which servers make anew, and differently, for each request.
        self.validator = self.length = None
        self._body.resource = replace(self._body.resource, validator=None)
        self.is_decoding = True

    def chunks(self, *, whole: bool = False) -> Chunks:
        """Iterate once over the body in pieces of 4 MiB, or of one second, resuming when the connection breaks.

        With *whole*, pieces have 4 MiB however long that takes.

        Raises ``Cancelled``, or ``SourceUnavailable`` when the body differs from the announced one, changed on the
        server, or cannot be had in time. While it decodes, raises the errors of ``coding.decoded`` as well.
        """
        received = self._received(whole=whole)
        return self._decoded(received) if self.is_decoding else received

    def _decoded(self, received: Chunks) -> Chunks:
        try:
            yield from rechunked(decoded(received, self._body.resource.name))
        finally:
            self.close()

    def _received(self, *, whole: bool) -> Chunks:
        try:
            while True:
                buffer = POOL.lend()
                have = 0
                until = math.inf
                while have < CHUNK_SIZE and (count := self._body.read_into(buffer[have:], until)):
                    if not (have or whole):
                        until = time.monotonic() + _SLOW
                    have += count
                    if time.monotonic() > until:
                        break
                if not have:
                    return
                piece = buffer[:have].toreadonly()
                del buffer
                yield piece
                del piece
        finally:
            self.close()

    def body(self, *, limit: int) -> bytes:
        """Return the body without its Content-Encoding; it has at most *limit* bytes.

        Raises the errors of ``decode`` and ``chunks``, and ``SourceUnavailable`` when there are more.
        """
        self.decode()
        body = b""
        for piece in self.chunks():
            body += piece
            if len(body) > limit:
                self.close()
                raise SourceUnavailable(
                    f"{self._body.resource.name} is larger than {format_size(limit)}",
                    hint="check that the url is that of a small text file",
                )
        return body

    def text(self, *, limit: int = 1 << 20) -> str:
        """Return the body, which is text in UTF-8 of at most *limit* bytes.

        Raises the errors of ``body``, and ``SourceUnavailable`` when it is anything else.
        """
        try:
            return self.body(limit=limit).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise SourceUnavailable(
                f"{self._body.resource.name} is not text in UTF-8: {error.reason} at byte {error.start}",
                hint="check that the url is that of a text file, not of a compressed or binary one",
            ) from None

    def close(self) -> None:
        """Hang up; nothing can be read afterwards."""
        self._body.close()

    def __enter__(self) -> HttpResponse:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
