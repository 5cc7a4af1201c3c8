"""The requests behind ``HttpTransport``, from redirect to redirect until there is an answer with a body."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Final

from imageport.errors import SourceRejected, SourceUnavailable
from imageport.http.connections import Watch
from imageport.http.exchange import Exchange, Rest
from imageport.http.failures import refused, unrequested_part
from imageport.http.filenames import filename_of
from imageport.http.names import Names, system_resolver
from imageport.http.network import IPAddress, NetworkRules
from imageport.http.requests import Requests
from imageport.http.responses import HttpResponse
from imageport.http.urls import Url
from imageport.limits import Limits

MAX_REDIRECTS: Final = 10
ATTEMPTS: Final = 3
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
#: Answers to a question for the rest of a body that is shorter by now, or by a server that miscounts.
_NO_SUCH_REST: Final = frozenset({HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE})


class Client:
    """Sends the requests of ``HttpTransport``, and follows redirects."""

    def __init__(
        self,
        rules: NetworkRules,
        limits: Limits,
        validate: Callable[[str, str | None], None],
        cancelled: threading.Event,
        resolver: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        self._rules = rules
        self._limits = limits
        self._cancelled = cancelled
        patience = min(limits.connect_timeout, limits.download_deadline)
        names = Names(rules, resolver or system_resolver, patience=patience, cancelled=cancelled)
        self._requests = Requests(rules, limits, validate, names)
        self._lock = threading.Lock()
        self._open: list[HttpResponse] = []

    def get(self, url: str, *, headers: Mapping[str, str], rest: Rest | None, once: bool) -> HttpResponse:
        """See ``HttpTransport.get``."""
        first = Url.parse(url)
        watch = Watch(first.shown, self._limits, self._cancelled)
        for attempt in range(1, 1 if once else ATTEMPTS):
            try:
                return self._follow(first, headers, rest, watch)
            except SourceUnavailable as error:
                if not error.retry:
                    raise
                trouble = error
            try:
                watch.pause(0.25 * 2**attempt, asked=trouble.retry_after)
            except SourceUnavailable:
                if trouble.retry_after is None:
                    # The time is over, and this error used it up.
                    raise trouble from None
                raise
        return self._follow(first, headers, rest, watch)

    def post(self, url: str, payload: Any) -> HttpResponse:
        """See ``HttpTransport.post``."""
        target = Url.parse(url)
        watch = Watch(target.shown, self._limits, self._cancelled)
        exchange = self._post(target, payload, watch)

        def reopen(extra: Mapping[str, str], watch: Watch) -> Exchange:
            raise SourceUnavailable(
                f"the answer of {target.shown} broke off", hint="try again: a request is not sent twice"
            )

        return self._noted(HttpResponse(str(target), exchange, name=target.shown, reopen=reopen, watch=watch))

    def post_json(self, url: str, payload: Any, *, content_type: str) -> None:
        """See ``HttpTransport.post_json``."""
        target = Url.parse(url)
        limits = self._limits.model_copy(update={"download_deadline": self._limits.read_timeout})
        watch = Watch(target.shown, limits, threading.Event())
        self._post(target, payload, watch, content_type=content_type).close()

    def resolve(self, host: str) -> tuple[IPAddress, ...]:
        """See ``HttpTransport.resolve``."""
        return self._requests.resolve(host)

    def close(self) -> None:
        """See ``HttpTransport.close``."""
        with self._lock:
            still_open, self._open = self._open, []
        for response in still_open:
            response.close()

    def _follow(
        self, first: Url, headers: Mapping[str, str], rest: Rest | None, watch: Watch
    ) -> HttpResponse:
        """Go from redirect to redirect until there is an answer with a body."""
        url, at_home = first, True
        page: Url | None = None
        seen = {str(first)}
        for _ in range(MAX_REDIRECTS + 1):
            sent = self._requests.headers(url)
            if at_home:
                if first.basic_authorization:
                    sent["Authorization"] = first.basic_authorization
                sent.update(headers)
            redirected_from = None if page is None else str(page)
            with _naming(page):
                asked = {**sent, **(rest.headers if rest else {})}
                exchange = self._requests.send("GET", url, asked, watch, redirected_from=redirected_from)
            if exchange.answer.status not in _REDIRECTS:
                return self._opened(url, exchange, sent, watch, rest=rest, page=page, asked=first)
            exchange.close()
            page, url = url, self._redirected(url, exchange)
            # After a redirect by another site, headers for the first one are not sent any more.
            at_home = at_home and url.origin == first.origin
            if str(url) in seen:
                raise SourceUnavailable(
                    f"{first.shown} redirects in a circle, back to {url.shown}",
                    hint="open the url in a browser; the site may ask for a login",
                )
            seen.add(str(url))
        raise SourceUnavailable(
            f"{first.shown} redirects more than {MAX_REDIRECTS} times", hint="use the url that it leads to"
        )

    def _redirected(self, page: Url, exchange: Exchange) -> Url:
        location = exchange.answer.headers.get("Location")
        if not location:
            raise SourceUnavailable(
                f"{page.shown} redirects without a Location",
                hint="report this to the site, or use another",
            )
        with _naming(page):
            target = page.join(location)
        if page.scheme == "https" and target.scheme == "http" and not self._rules.allow_downgrade:
            raise SourceRejected(
                f"{page.shown} redirects from https to {target.shown}",
                hint="use that url itself if it can be trusted, or set network.allow_downgrade",
            )
        return target

    def _opened(
        self,
        url: Url,
        exchange: Exchange,
        sent: Mapping[str, str],
        watch: Watch,
        *,
        rest: Rest | None,
        page: Url | None,
        asked: Url,
    ) -> HttpResponse:
        redirected_from = None if page is None else str(page)

        def reopen(extra: Mapping[str, str], watch: Watch) -> Exchange:
            return self._requests.send("GET", url, {**sent, **extra}, watch, redirected_from=redirected_from)

        if rest is not None and rest.misfit(exchange.answer) is not None:
            rest = None
            if exchange.answer.status in _NO_SUCH_REST:
                exchange.close()
                exchange = reopen({}, watch)
        if rest is None and exchange.answer.status == HTTPStatus.PARTIAL_CONTENT:
            rest = Rest.whole(exchange.answer)
            if rest is None:
                exchange.close()
                raise unrequested_part(url, exchange)
        elif rest is None and exchange.answer.status != HTTPStatus.OK:
            exchange.close()
            raise refused(url, exchange, page=page.shown if page else None)
        return self._noted(
            HttpResponse(
                str(url), exchange, name=url.shown, reopen=reopen, watch=watch, rest=rest,
                filename=filename_of(asked.target, url.target, exchange.headers),
            )
        )  # fmt: skip

    def _noted(self, response: HttpResponse) -> HttpResponse:
        """Return *response*, which ``close`` closes unless its reader has closed it."""
        with self._lock:
            self._open = [other for other in self._open if not other.closed] + [response]
        return response

    def _post(
        self, target: Url, payload: Any, watch: Watch, *, content_type: str = "application/json"
    ) -> Exchange:
        headers = self._requests.headers(target)
        headers["Content-Type"] = content_type
        exchange = self._requests.send("POST", target, headers, watch, body=json.dumps(payload).encode())
        if not 200 <= exchange.answer.status < 300:
            exchange.close()
            raise refused(target, exchange)
        return exchange


@contextmanager
def _naming(page: Url | None) -> Iterator[None]:
    """Let an error name the *page* that redirected to where it happened."""
    try:
        yield
    except (SourceRejected, SourceUnavailable) as error:
        if page is not None:
            error.message += f" (redirected from {page.shown})"
        raise
