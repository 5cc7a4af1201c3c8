"""The mirrors of one file, tried in order; where that is safe, the next one sends the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from imageport import Context, LimitExceeded, SourceRejected, SourceUnavailable
from imageport.limits import format_size
from imageport_builtin.download import (
    FileDownload,
    Mirror,
    add_answers,
    empty,
    message_with_url,
    report_source,
)

if TYPE_CHECKING:
    from imageport.http import HttpResponse


class Mirrors:
    """The mirrors that have not failed yet. A single mirror is tried twice.

    A body with a Content-Encoding that fails its verification is fetched once more in the other form: as sent instead
    of decoded, or decoded instead of as sent.
    """

    def __init__(self, mirrors: Sequence[Mirror]) -> None:
        self._alone = len(mirrors) == 1
        self._left = deque([*mirrors, *mirrors] if self._alone else mirrors)
        self._opened = 0
        self._download: FileDownload | None = None
        self._failures: list[str] = []

    @property
    def max_attempts(self) -> int:
        """How often ``open`` can be called, including the calls so far."""
        other_form = self._download is not None and self._download.has_other_form and not self._alone
        return self._opened + len(self._left) + other_form

    def open(self, ctx: Context, *, any_rest: bool, connections: int = 1) -> FileDownload:
        """Open the file at the first mirror that has it, over *connections* connections on the first call.

        With *any_rest* the rest of an interrupted body may come from another mirror, because the whole is compared
        with a digest. Raises ``LimitExceeded`` when the file is too large, and the error of the last mirror, whose
        message lists the answers of all mirrors.
        """
        last, self._download = self._download, None
        if last is not None and last.complete and last.has_other_form:
            if self._alone:
                self._left.popleft()
            response = self._response(last.mirror, ctx, as_sent=last.decoding)
            return self._start(response, last.mirror, (), 1, ctx, first_form=False)
        if last is not None:
            self._failures.append(
                last.failure or f"{last.mirror.shown} sent data that failed the verification"
            )
        if (partial := ctx.partial) and not self._opened:
            # Resume a killed import at its mirror.
            self._left = deque(sorted(self._left, key=lambda mirror: partial.rest_of(mirror.url) is None))
        while True:
            mirror = self._left.popleft()
            try:
                response = self._response(mirror, ctx)
            except (SourceUnavailable, SourceRejected) as error:
                if self._alone:
                    raise
                if not self._left:
                    add_answers(error, self._failures)
                    raise
                self._failures.append(message_with_url(mirror, error))
                report_source(mirror.shown, error, ctx)
            else:
                # Some servers fail with several connections.
                connections = connections if self._opened == 0 else 1
                return self._start(response, mirror, self._left if any_rest else (), connections, ctx)

    def _start(
        self,
        response: HttpResponse,
        mirror: Mirror,
        others: Iterable[Mirror],
        connections: int,
        ctx: Context,
        *,
        first_form: bool = True,
    ) -> FileDownload:
        self._opened += 1
        self._download = FileDownload(
            response,
            mirror,
            others,
            connections,
            ctx,
            first_form=first_form,
            may_go_on=bool(self._left) and not self._alone,
            failures=tuple(self._failures),
        )
        return self._download

    def _response(self, mirror: Mirror, ctx: Context, *, as_sent: bool | None = None) -> HttpResponse:
        """Open *mirror*; *as_sent* decides whether a Content-Encoding is kept; without it, the file name decides."""
        # Do not retry a failing server while there are others.
        others = bool(self._left) and not self._alone
        rest = ctx.partial.rest_of(mirror.url) if ctx.partial and as_sent is None else None
        response = ctx.http.get(mirror.url, headers=mirror.headers, rest=rest, once=others)
        try:
            _check_head(response, mirror.shown, ctx)
            if not (response.is_as_published if as_sent is None else as_sent):
                if response.start:
                    # The rest of a coded body is not the rest of the file.
                    response.close()
                    response = ctx.http.get(mirror.url, headers=mirror.headers, once=others)
                response.decode()
            if ctx.partial:
                ctx.partial.begin(mirror.url, response)
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
