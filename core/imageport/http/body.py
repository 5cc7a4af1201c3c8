"""The bytes of a body as they arrive, requested again from where a connection broke."""

from __future__ import annotations

import http.client
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NoReturn

from imageport.errors import SourceUnavailable
from imageport.http.coding import coding_of
from imageport.http.connections import TooSlow, Watch
from imageport.http.exchange import Exchange, Rest
from imageport.http.failures import CONNECTION_ERRORS, TRANSIENT, plain
from imageport.http.headers import retry_after

#: Times a connection may break without any byte having come in between, and may be too slow in all.
RESUMES: Final = 3


@dataclass(frozen=True, slots=True)
class Resource:
    """The body of one answer on its server: *name* is for messages, *reopen* requests it again with header fields.

    ``validator`` distinguishes it from later ones, or is None. ``coding`` is its Content-Encoding or None.
    ``accept_ranges`` is the field of that name in the answer, in lower case.
    """

    name: str
    reopen: Callable[[Mapping[str, str], Watch], Exchange]
    validator: str | None
    coding: str | None
    accept_ranges: str

    @property
    def has_ranges(self) -> bool:
        """True when the server offers parts of this very body."""
        return self.validator is not None and self.accept_ranges == "bytes"

    @property
    def is_resumable(self) -> bool:
        """True when the rest can be requested: only some servers announce that they send parts."""
        return self.validator is not None and self.accept_ranges != "none"


class ResumedBody:
    """Reads *resource* from byte *position* to *stop*, or to its end; *total* is its size if known.

    Without an *exchange* it is requested when it is first read.
    """

    def __init__(
        self,
        resource: Resource,
        watch: Watch,
        exchange: Exchange | None,
        *,
        position: int,
        total: int | None,
        stop: int | None = None,
    ) -> None:
        self.resource = resource
        self.stop = stop
        self.closed = False
        self.watch = watch
        self._exchange = exchange
        self._position = position
        self._total = total
        self._breaks = 0
        self._slow = 0

    def part(self, start: int, stop: int) -> ResumedBody:
        """Return the part from *start* to before *stop*."""
        return ResumedBody(
            self.resource, self.watch.another(), None, position=start, total=self._total, stop=stop
        )

    def close(self) -> None:
        """Hang up; nothing can be read afterwards."""
        self.closed = True
        if self._exchange is not None:
            self._exchange.close()

    def read_into(self, buffer: memoryview, until: float) -> int | None:
        """Fill *buffer* with the bytes that arrive first, and return their number; 0 at the end of the body.

        None when nothing has come *until* then. Raises ``Cancelled``, and ``SourceUnavailable`` when the body differs
        from the announced one, changed on the server, or cannot be had in time.
        """
        while True:
            if self.closed:
                # A closed connection looks like the end of the body.
                raise RuntimeError(f"the answer of {self.resource.name} was closed")
            self.watch.require_time()
            end = self._total if self.stop is None else self.stop
            if end is not None:
                buffer = buffer[: end - self._position]
            if not buffer:
                return 0
            if self._exchange is None:
                self._ask(None)
                continue
            try:
                # Do not stop within the size of a chunk.
                self.watch.until = math.inf if self._exchange.answer.chunked else until
                count = self._exchange.read_into(buffer)
            except TooSlow as error:
                self._slow += 1
                if self._slow > RESUMES or not self.resource.is_resumable:
                    self.close()
                    raise
                self._resume(error)
                continue
            except CONNECTION_ERRORS as error:
                self._resume(error)
                continue
            finally:
                self.watch.until = math.inf
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
        if not self.resource.is_resumable:
            self._fail(f"the connection broke after {self._progress}: {plain(cause)}", "import it again")
        self._ask(cause)

    def _ask(self, cause: Exception | None) -> None:
        """Request the rest until there is an answer; *cause* is why a connection broke, if one did."""
        rest = Rest(self._position, self._total, self.resource.validator, self.stop)
        asked = None
        while True:
            if cause is not None:
                self._breaks += 1
                if self._breaks > RESUMES:
                    self._fail(
                        f"the connection broke after {self._progress} and could not be resumed: {plain(cause)}",
                        "import it again, or use another mirror",
                    )
                self.watch.pause(0.1 * 2**self._breaks, asked=asked)
            try:
                exchange = self.resource.reopen(rest.headers, self.watch)
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
            # Only the rest of the same body is appended.
            if (problem := rest.misfit(exchange.answer) or self._other_coding(exchange)) is not None:
                broke = f"the connection broke after {self._progress}, and then " if cause else ""
                self._fail(f"{broke}{problem}", "import it again")
            self._total = rest.total_of(exchange.answer)
            return

    def _other_coding(self, exchange: Exchange) -> str | None:
        """Return the difference in coding between the rest and the bytes before, or None."""
        coding = coding_of(exchange.headers)
        if coding == self.resource.coding:
            return None
        return (
            f"its Content-Encoding was {self.resource.coding or 'identity'} and is now {coding or 'identity'}"
        )

    @property
    def _progress(self) -> str:
        return f"{self._position} of {'an unknown number of' if self._total is None else self._total} bytes"

    def _fail(self, problem: str, hint: str) -> NoReturn:
        self.close()
        raise SourceUnavailable(f"{self.resource.name}: {problem}", hint=hint, retry=True)
