"""The one way to the network: every url, redirect and address is checked here."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imageport.http.client import Client
    from imageport.http.exchange import Rest
    from imageport.http.network import IPAddress, NetworkRules
    from imageport.http.responses import HttpResponse
    from imageport.limits import Limits


class HttpTransport:
    """The interface of ``ctx.http``: HTTP and HTTPS to places that every rule permits.

    *validate* is called with each url before anything is resolved or connected to, and with the page that
    redirected to it. Names are resolved once; every address found must pass *rules*, and exactly these are
    connected to, so that a name cannot change its meaning in between. With a proxy in *rules* it is the proxy
    that resolves names: then only urls, and addresses written in them, can be judged here.

    Credentials and headers given for one origin (scheme, host and port) are never sent to another.
    """

    def __init__(
        self,
        *,
        rules: NetworkRules,
        limits: Limits,
        validate: Callable[[str, str | None], None],
        cancelled: threading.Event,
        resolver: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        self._rules = rules
        self._limits = limits
        self._validate = validate
        self._cancelled = cancelled
        self._resolver = resolver
        self._lock = threading.Lock()
        self._made: Client | None = None

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        rest: Rest | None = None,
        once: bool = False,
    ) -> HttpResponse:
        """Open *url*, following redirects, and return the answer with its body unread.

        Passing trouble (no connection, 5xx, 429) is tried again a few times, unless this is to be tried *once*; a
        server that sends Retry-After is not asked before. With *rest* only that part is requested; ``start`` of
        the answer is 0 when the server sends everything, because it has another body by now. Raises
        ``SourceRejected`` when a url, redirect or address is not permitted, ``SourceUnavailable`` when there is no
        answer with a body.
        """
        return self._client().get(url, headers=headers or {}, rest=rest, once=once)

    def get_text(self, url: str, *, limit: int = 1 << 20) -> str:
        """Return the document at *url*, which is text in UTF-8 of at most *limit* bytes.

        Raises the errors of ``get``, and ``SourceUnavailable`` when the document is anything else.
        """
        with self.get(url) as response:
            return response.text(limit=limit)

    def post(self, url: str, payload: Any) -> HttpResponse:
        """Send *payload* as JSON to *url*, once, and return the answer, whose body is unread.

        Redirects are not followed: the payload, such as a password, is for this address alone.
        Raises ``SourceRejected`` or, unless the answer has a status of 2xx, ``SourceUnavailable``.
        """
        return self._client().post(url, payload)

    def post_json(self, url: str, payload: Any, *, content_type: str = "application/json") -> None:
        """Send *payload* as JSON to *url*, once, without following redirects, within ``limits.read_timeout``.

        *content_type* is for formats that are JSON underneath, such as ``application/cloudevents+json``. Works for
        a cancelled import too: others may want to know of it. Raises ``SourceRejected`` or, unless the answer has a
        status of 2xx, ``SourceUnavailable``.
        """
        self._client().post_json(url, payload, content_type=content_type)

    def resolve(self, host: str) -> tuple[IPAddress, ...]:
        """Return the checked addresses of *host*, the preferred one first: those that are connected to.

        They are looked up once in an import. With a proxy the addresses of a name are not known: the answer
        is empty. Raises ``SourceRejected`` when one of the addresses is not permitted, ``SourceUnavailable`` when
        the name cannot be resolved within ``limits.connect_timeout``, and ``Cancelled``.
        """
        return self._client().resolve(host)

    def close(self) -> None:
        """Hang up on every answer that is still open."""
        if self._made is not None:
            self._made.close()

    def _client(self) -> Client:
        with self._lock:
            if self._made is None:
                # With urllib3, which takes long to import; an import from a file to a folder needs none of it.
                from imageport.http.client import Client  # noqa: PLC0415

                self._made = Client(
                    self._rules, self._limits, self._validate, self._cancelled, self._resolver
                )
            return self._made
