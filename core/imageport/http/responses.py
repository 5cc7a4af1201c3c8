"""An answer on its way in, resumed when its connection breaks."""

from __future__ import annotations

import http.client
import math
import time
from collections.abc import Callable, Mapping
from copy import copy
from typing import Final, NoReturn

from imageport.dataplane.buffers import CHUNK_SIZE, POOL, Chunks, rechunked
from imageport.errors import SourceUnavailable
from imageport.http.coding import coding_of, decoded, is_published_in, require_known
from imageport.http.connections import TooSlow, Watch
from imageport.http.exchange import Exchange, Rest
from imageport.http.failures import CONNECTION_ERRORS, TRANSIENT, plain
from imageport.http.headers import announced_length, retry_after, strong_validator
from imageport.limits import format_size

#: Seconds after which the part of a piece that is here goes on its way.
_SLOW: Final = 1.0

#: Times a connection may break without any byte having come in between, and may be too slow in all.
RESUMES: Final = 3


class HttpResponse:
    """An open answer. Close it, or use it in a ``with`` statement; ``closed`` is true afterwards.

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
        self._exchange: Exchange | None = exchange
        self._name = name
        self._reopen = reopen
        self._watch = watch
        self.closed = False
        self._position = self.start
        self._total = self.length
        self._stop: int | None = None
        self._breaks = 0
        self._slow = 0

    @property
    def is_as_published(self) -> bool:
        """Whether the body as sent is the file, as far as its name shows: not coded, or called for instance disk.gz."""
        return self.coding is None or is_published_in(self.coding, self.filename)

    @property
    def has_ranges(self) -> bool:
        """True when the server offers parts of this very body."""
        return self.validator is not None and self.headers.get("Accept-Ranges", "").lower() == "bytes"

    def until(self, stop: int) -> HttpResponse:
        """Return this answer, which ends before byte *stop* from now on."""
        self._stop = stop
        return self

    def part(self, start: int, stop: int) -> HttpResponse:
        """Return the part of this body from *start* to before *stop*; it is asked for when it is read."""
        part = copy(self)
        part.closed, part.start = False, start
        part._watch = self._watch.another()
        part._exchange = None
        part._position, part._stop = start, stop
        part._breaks = part._slow = 0
        return part

    def give_up(self) -> None:
        """Let ``chunks`` raise ``Cancelled`` in the thread that reads."""
        self._watch.stop()

    def decode(self) -> None:
        """Have the body come without its Content-Encoding, if it has one.

        Such a body cannot be resumed or fetched in parts, and its ``length`` is not known beforehand. Raises
        ``SourceUnavailable``, and hangs up, for a coding other than gzip.
        """
        if self.coding is None:
            return
        try:
            require_known(self.coding, self._name)
        except SourceUnavailable:
            self.close()
            raise
        # Ranges count the bytes of the coded body, which servers make anew, and differently, for each request.
        self.validator = self.length = None
        self.is_decoding = True

    @property
    def _resumable(self) -> bool:
        return self.validator is not None and self.headers.get("Accept-Ranges", "").lower() != "none"

    def chunks(self, *, whole: bool = False) -> Chunks:
        """Iterate once over the body in pieces of 4 MiB, or what a second brings, resuming when the connection breaks.

        With *whole*, pieces have 4 MiB however long that takes.

        Raises ``Cancelled``, or ``SourceUnavailable`` when the body is not what was announced, changed on the
        server, or cannot be had in time. While it decodes, raises what ``coding.decoded`` raises as well.
        """
        received = self._received(whole=whole)
        return self._decoded(received) if self.is_decoding else received

    def _decoded(self, received: Chunks) -> Chunks:
        try:
            yield from rechunked(decoded(received, self._name))
        finally:
            self.close()

    def _received(self, *, whole: bool) -> Chunks:
        try:
            while True:
                buffer = POOL.lend()
                have = 0
                until = math.inf
                while have < CHUNK_SIZE and (count := self._receive(buffer[have:], until)):
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

        Raises what ``decode`` and ``chunks`` raise, and ``SourceUnavailable`` when there are more.
        """
        self.decode()
        body = b""
        for piece in self.chunks():
            body += piece
            if len(body) > limit:
                self.close()
                raise SourceUnavailable(
                    f"{self._name} is larger than {format_size(limit)}",
                    hint="check that the url is that of a small text file",
                )
        return body

    def text(self, *, limit: int = 1 << 20) -> str:
        """Return the body, which is text in UTF-8 of at most *limit* bytes.

        Raises what ``body`` raises, and ``SourceUnavailable`` when it is anything else.
        """
        try:
            return self.body(limit=limit).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise SourceUnavailable(
                f"{self._name} is not text in UTF-8: {error.reason} at byte {error.start}",
                hint="check that the url is that of a text file, not of a compressed or binary one",
            ) from None

    def close(self) -> None:
        """Hang up; nothing can be read afterwards."""
        self.closed = True
        if self._exchange is not None:
            self._exchange.close()

    def __enter__(self) -> HttpResponse:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _receive(self, buffer: memoryview, until: float) -> int | None:
        """Fill *buffer* with what came in and return how many bytes that is; 0 at the end of the body.

        None when nothing has come *until* then.
        """
        while True:
            if self.closed:
                # A closed connection looks like the end of the body.
                raise RuntimeError(f"the answer of {self._name} was closed")
            self._watch.require_time()
            end = self._total if self._stop is None else self._stop
            if end is not None:
                buffer = buffer[: end - self._position]
            if not buffer:
                return 0
            if self._exchange is None:
                self._ask(None)
                continue
            try:
                # Do not stop within the size of a chunk.
                self._watch.until = math.inf if self._exchange.answer.chunked else until
                count = self._exchange.read_into(buffer)
            except TooSlow as error:
                self._slow += 1
                if self._slow > RESUMES or not self._resumable:
                    self.close()
                    raise
                self._resume(error)
                continue
            except CONNECTION_ERRORS as error:
                self._resume(error)
                continue
            finally:
                self._watch.until = math.inf
            if count is None:
                return None
            if count:
                self._position += count
                self._breaks = 0
            elif end is not None:
                self._resume(http.client.IncompleteRead(b""))
                continue
            return count

    def _resume(self, cause: Exception) -> None:
        """Ask for the rest of the body on a new connection, after a moment."""
        if self._exchange is not None:
            self._exchange.close()
        if not self._resumable:
            self._fail(f"the connection broke after {self._progress}: {plain(cause)}", "import it again")
        self._ask(cause)

    def _ask(self, cause: Exception | None) -> None:
        """Ask for what is missing until there is an answer; *cause* is why a connection broke, if one did."""
        rest = Rest(self._position, self._total, self.validator, self._stop)
        asked = None
        while True:
            if cause is not None:
                self._breaks += 1
                if self._breaks > RESUMES:
                    self._fail(
                        f"the connection broke after {self._progress} and could not be resumed: {plain(cause)}",
                        "import it again, or use another mirror",
                    )
                self._watch.pause(0.1 * 2**self._breaks, asked=asked)
            try:
                exchange = self._reopen(rest.headers, self._watch)
            except SourceUnavailable as error:
                if not error.retry:
                    raise
                cause = cause or error
                continue
            if exchange.answer.status in TRANSIENT:
                asked = retry_after(exchange.headers)
                cause = cause or SourceUnavailable(f"the server answered {exchange.answer.status}")
                exchange.close()
                continue
            self._exchange = exchange
            # What is not the rest of the very same body is never spliced.
            if (problem := rest.misfit(exchange.answer) or self._other_coding(exchange)) is not None:
                broke = f"the connection broke after {self._progress}, and then " if cause else ""
                self._fail(f"{broke}{problem}", "import it again")
            self._total = rest.total_of(exchange.answer)
            return

    def _other_coding(self, exchange: Exchange) -> str | None:
        """Return in which way the rest is coded differently from what came before, or None."""
        coding = coding_of(exchange.headers)
        if coding == self.coding:
            return None
        return f"its Content-Encoding was {self.coding or 'identity'} and is now {coding or 'identity'}"

    @property
    def _progress(self) -> str:
        return f"{self._position} of {'an unknown number of' if self._total is None else self._total} bytes"

    def _fail(self, problem: str, hint: str) -> NoReturn:
        self.close()
        raise SourceUnavailable(f"{self._name}: {problem}", hint=hint, retry=True)
