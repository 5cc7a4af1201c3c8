"""The places where one file can be had: each in its turn, and where that is safe, the next goes on with the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from imageport import Context, LimitExceeded, SourceRejected, SourceUnavailable
from imageport.limits import format_size
from imageport_builtin.download import Download, Place, add_answers, empty, naming, tell

if TYPE_CHECKING:
    from imageport.http import HttpResponse


class Places:
    """The places that have not failed yet. One that is the only one gets a second chance.

    What a place sent in a Content-Encoding, and what was then not what it should be, is fetched once more in the other
    form: as sent instead of decoded, or decoded instead of as sent.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._alone = len(places) == 1
        self._left = deque([*places, *places] if self._alone else places)
        self._opened = 0
        self._download: Download | None = None
        self._failures: list[str] = []

    @property
    def tries(self) -> int:
        """How often ``open`` can be called, the calls so far counted."""
        other_form = self._download is not None and self._download.has_other_form and not self._alone
        return self._opened + len(self._left) + other_form

    def open(self, ctx: Context, *, any_rest: bool, connections: int = 1) -> Download:
        """Open the file at the first place that has it, and fetch it over so many *connections* the first time.

        With *any_rest* the rest of a body that breaks off may come from another place, because the whole is compared
        with a digest. Raises ``LimitExceeded`` when the file is too large, and what the last place raises: its message
        has the answer of every place.
        """
        last, self._download = self._download, None
        if last is not None and last.complete and last.has_other_form:
            if self._alone:
                self._left.popleft()
            response = self._response(last.place, ctx, as_sent=last.decoding)
            return self._begun(response, last.place, (), 1, ctx, first_form=False)
        if last is not None:
            self._failures.append(last.failure or f"{last.place.shown} sent other data than it should")
        if (partial := ctx.partial) and not self._opened:
            # An import that was killed is gone on with at the place where it was.
            self._left = deque(sorted(self._left, key=lambda place: partial.rest_of(place.url) is None))
        while True:
            place = self._left.popleft()
            try:
                response = self._response(place, ctx)
            except (SourceUnavailable, SourceRejected) as error:
                if self._alone:
                    raise
                if not self._left:
                    add_answers(error, self._failures)
                    raise
                self._failures.append(naming(place, error))
                tell(place.shown, error, ctx)
            else:
                # Some servers do not stand several connections at once.
                connections = connections if self._opened == 0 else 1
                return self._begun(response, place, self._left if any_rest else (), connections, ctx)

    def _begun(
        self,
        response: HttpResponse,
        place: Place,
        others: Iterable[Place],
        connections: int,
        ctx: Context,
        *,
        first_form: bool = True,
    ) -> Download:
        self._opened += 1
        self._download = Download(
            response,
            place,
            others,
            connections,
            ctx,
            first_form=first_form,
            may_go_on=bool(self._left) and not self._alone,
            failures=tuple(self._failures),
        )
        return self._download

    def _response(self, place: Place, ctx: Context, *, as_sent: bool | None = None) -> HttpResponse:
        """Open *place*; *as_sent* decides whether a Content-Encoding stays, else the name of the file does."""
        # Nobody waits for a server in trouble while there are others.
        others = bool(self._left) and not self._alone
        rest = ctx.partial.rest_of(place.url) if ctx.partial and as_sent is None else None
        response = ctx.http.get(place.url, headers=place.headers, rest=rest, once=others)
        try:
            _check_head(response, place.shown, ctx)
            if not (response.is_as_published if as_sent is None else as_sent):
                if response.start:
                    # The rest of a coded body is not the rest of the file.
                    response.close()
                    response = ctx.http.get(place.url, headers=place.headers, once=others)
                response.decode()
            if ctx.partial:
                ctx.partial.begin(place.url, response)
        except BaseException:
            response.close()
            raise
        return response


def _check_head(response: HttpResponse, name: str, ctx: Context) -> None:
    if response.length is not None and response.length > ctx.limits.image_size_cap:
        raise LimitExceeded(
            f"{name} has {format_size(response.length)}, more than {format_size(ctx.limits.image_size_cap)}",
            hint="raise limits.image_size_cap in the site file if images this large are expected",
        )
    if response.length == 0:
        raise empty(name)
