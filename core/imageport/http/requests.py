"""Requests to checked urls, over one connection each or through the proxy."""

from __future__ import annotations

import importlib.metadata
import ssl
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

from urllib3 import HTTPHeaderDict

from imageport.errors import SourceRejected, SourceUnavailable
from imageport.http.connections import (
    PinnedHTTPConnection,
    PinnedHTTPSConnection,
    Watch,
    answer_of,
    expiry_of,
    tls_context,
)
from imageport.http.exchange import Exchange
from imageport.http.failures import CONNECTION_ERRORS, not_trusted, unclear_end, unreachable, unusable_proxy
from imageport.http.headers import announced_length
from imageport.http.names import Names
from imageport.http.network import IPAddress, NetworkRules
from imageport.http.urls import Url, as_address, normal_host
from imageport.limits import Limits


class Requests:
    """Sends requests by *rules* and *limits*; *validate* judges each url and the page that redirected to it."""

    def __init__(
        self,
        rules: NetworkRules,
        limits: Limits,
        validate: Callable[[str, str | None], None],
        names: Names,
    ) -> None:
        self._rules = rules
        self._limits = limits
        self._validate = validate
        self._names = names
        self._agent = f"imageport/{importlib.metadata.version('imageport')}"

    def resolve(self, host: str) -> tuple[IPAddress, ...]:
        """Return the checked addresses of *host*; none for a name that a proxy resolves. Raises as ``Names`` does."""
        name = normal_host(host)
        return () if self._proxy and not as_address(name) else self._names.checked(name)

    def send(
        self,
        method: str,
        url: Url,
        headers: Mapping[str, str],
        watch: Watch,
        *,
        body: bytes | None = None,
        redirected_from: str | None = None,
    ) -> Exchange:
        """Have *url* checked, connect, send the request and read the head of the answer.

        *redirected_from* is the page that led there, if one did. Raises ``SourceRejected``, and ``SourceUnavailable``
        when there is no answer or it does not define where its body ends.
        """
        self._validate(str(url), redirected_from)
        if url.scheme not in ("http", "https"):
            raise SourceRejected(
                f"{url.shown} cannot be fetched: its scheme is {url.scheme}", hint="use http or https"
            )
        addresses = self.resolve(url.host)
        connection = self._connection(url, addresses, watch)
        try:
            connection.connect()
            forwarded = self._proxy and url.scheme == "http"
            connection.request(
                method, str(url) if forwarded else url.target, body, headers, preload_content=False
            )
            exchange = Exchange(connection, answer_of(connection))
        except ssl.SSLCertVerificationError as error:
            connection.close()
            ended = None if self._proxy else expiry_of(addresses, url.host, connection.port, watch)
            raise not_trusted(url, error, ended=ended) from error
        except CONNECTION_ERRORS as error:
            connection.close()
            raise unreachable(url, error, proxy=self._proxy) from error
        except BaseException:
            connection.close()
            raise
        try:
            announced_length(exchange.answer.headers)
        except ValueError as error:
            exchange.close()
            raise unclear_end(url, str(error)) from None
        return exchange

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return tls_context(self._rules.ca_bundle)

    @cached_property
    def _proxy(self) -> Url | None:
        return Url.parse(self._rules.proxy) if self._rules.proxy else None

    def _connection(
        self, url: Url, addresses: Sequence[IPAddress], watch: Watch
    ) -> PinnedHTTPConnection | PinnedHTTPSConnection:
        via = self._proxy or url
        connection: PinnedHTTPConnection | PinnedHTTPSConnection
        if url.scheme == "https":
            connection = PinnedHTTPSConnection(via.host, via.effective_port, ssl_context=self._tls)
            if self._proxy:
                connection.set_tunnel(url.host, url.effective_port, headers=self._proxy_headers())
        else:
            connection = PinnedHTTPConnection(via.host, via.effective_port)
        connection.timeout = self._limits.read_timeout
        connection.addresses = self._proxy_addresses(self._proxy) if self._proxy else addresses
        connection.watch = watch
        return connection

    def _proxy_addresses(self, proxy: Url) -> tuple[IPAddress, ...]:
        try:
            return self._names.look_up(proxy.host)
        except SourceUnavailable as error:
            raise unusable_proxy(proxy, error.message) from error

    def headers(self, url: Url) -> HTTPHeaderDict:
        """Return the header fields that every request for *url* has."""
        headers = HTTPHeaderDict({"User-Agent": self._agent, "Accept-Encoding": "identity"})
        if self._proxy and url.scheme == "http":
            headers.update(self._proxy_headers())
        if url.basic_authorization:
            headers["Authorization"] = url.basic_authorization
        return headers

    def _proxy_headers(self) -> dict[str, str]:
        authorization = self._proxy.basic_authorization if self._proxy else None
        return {"Proxy-Authorization": authorization} if authorization else {}
