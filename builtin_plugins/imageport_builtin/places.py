"""The places where one file can be had: each in its turn, and where that is safe, the next goes on with the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imageport import (
    Chunks,
    Context,
    LimitExceeded,
    SourceRejected,
    SourceUnavailable,
    Url,
    format_size,
)

if TYPE_CHECKING:
    from imageport import HttpResponse


@dataclass(frozen=True)
class Place:
    """A url, and the headers that are meant for its server alone."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def shown(self) -> str:
        """The url for messages."""
        return Url.parse(self.url).shown


class Places:
    """The places that were not yet in vain. One that is the only one gets a second chance."""

    def __init__(self, places: Sequence[Place]) -> None:
        self._alone = len(places) == 1
        self._left = deque([*places, *places] if self._alone else places)
        self._opened = 0

    @property
    def tries(self) -> int:
        """How often ``open`` can be called, the calls so far counted."""
        return self._opened + len(self._left)

    def open(self, ctx: Context, *, any_rest: bool, connections: int = 1) -> Download:
        """Open the file at the first place that has it, and fetch it over so many *connections* the first time.

        With *any_rest* the rest of a body that breaks off may come from another place, because the whole is compared
        with a digest. Raises what the last place raises, and ``LimitExceeded`` when the file is too large.
        """
        if (partial := ctx.partial) and not self._opened:
            # An import that was killed is gone on with at the place where it was.
            self._left = deque(sorted(self._left, key=lambda place: partial.rest_of(place.url) is None))
        while True:
            place = self._left.popleft()
            try:
                response = self._response(place, ctx)
            except (SourceUnavailable, SourceRejected) as error:
                if self._alone or not self._left:
                    raise
                _tell(place.shown, error, ctx)
            else:
                self._opened += 1
                # Some servers do not stand several at once.
                connections = connections if self._opened == 1 else 1
                return Download(response, place, self._left if any_rest else (), connections, ctx)

    def _response(self, place: Place, ctx: Context) -> HttpResponse:
        # Nobody waits for a server in trouble while there are others.
        others = bool(self._left) and not self._alone
        rest = ctx.partial.rest_of(place.url) if ctx.partial else None
        response = ctx.http.get(place.url, headers=place.headers, rest=rest, once=others)
        try:
            _check_head(response, place.shown, ctx)
            if ctx.partial:
                ctx.partial.begin(place.url, response)
        except BaseException:
            response.close()
            raise
        return response


class Download:
    """A file that is open at one place; ``size`` is its length or None."""

    def __init__(
        self, response: HttpResponse, place: Place, others: Iterable[Place], connections: int, ctx: Context
    ) -> None:
        self.size = response.length
        self._response = response
        self._place = place
        self._others = deque(others)
        self._connections = connections
        self._ctx = ctx
        _tell(Url.parse(response.url).shown, None, ctx)

    def chunks(self) -> Chunks:
        """Read to the end. Raises ``SourceUnavailable`` when that is not to be had, or empty."""
        from imageport import parallel_chunks

        position = 0
        if self._response.start and self._ctx.partial:
            for piece in self._ctx.partial.received():
                position += len(piece)
                yield piece
        while True:
            try:
                for piece in parallel_chunks(self._response, self._connections):
                    position += len(piece)
                    yield piece
                break
            except SourceUnavailable as error:
                if not self._goes_on(position, error):
                    raise
        if not position:
            raise _empty(self._place.shown)

    def _goes_on(self, position: int, error: SourceUnavailable) -> bool:
        """Open another place that has the rest of a file of the same size."""
        if not (error.retry and position and self.size):
            return False
        from imageport import Rest

        rest = Rest(position, self.size, None)
        while self._others:
            place = self._others.popleft()
            try:
                response = self._ctx.http.get(place.url, headers=place.headers, rest=rest, once=True)
            except (SourceUnavailable, SourceRejected) as other:
                _tell(place.shown, other, self._ctx)
                continue
            if response.start == position:
                _tell(Url.parse(self._response.url).shown, error, self._ctx)
                _tell(Url.parse(response.url).shown, None, self._ctx)
                self._response = response
                return True
            response.close()
        return False


def _tell(shown: str, error: SourceUnavailable | SourceRejected | None, ctx: Context) -> None:
    """Let the report say that the bytes come from here, or with *error* why not."""
    ctx.report("source", step=ctx.step, message=shown, error=error and error.message)
    if error is not None:
        ctx.log.warning("%s; the next mirror is asked", error)


def _check_head(response: HttpResponse, name: str, ctx: Context) -> None:
    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/html":
        raise SourceUnavailable(
            f"{name} is a web page, not an image",
            hint="open it in a browser: it may be a login, an error, or a page that links to the image",
        )
    if response.length is not None and response.length > ctx.limits.image_size_cap:
        raise LimitExceeded(
            f"{name} has {format_size(response.length)}, more than {format_size(ctx.limits.image_size_cap)}",
            hint="raise limits.image_size_cap in the site file if images this large are expected",
        )
    if response.length == 0:
        raise _empty(name)


def _empty(name: str) -> SourceUnavailable:
    return SourceUnavailable(f"{name} is empty", hint="check the url, or ask its publisher")
