"""The errors of requests: one message for each cause, with the hint that fits it."""

from __future__ import annotations

import http.client
import os
import re
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import urllib3.exceptions

from imageport.errors import SourceUnavailable
from imageport.http.headers import retry_after
from imageport.text import printable

if TYPE_CHECKING:
    from imageport.http.exchange import Exchange
    from imageport.http.urls import Url

#: The errors of a broken connection.
CONNECTION_ERRORS: Final = (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)

#: Statuses of a server in passing trouble.
TRANSIENT: Final = frozenset({408, 425, 429, *range(500, 600)})

_HINTS: Final = {
    400: "check the url, and whether that port expects https",
    401: "the server requires credentials: set a header of the method, or write user:password@ in the url",
    403: "the server refuses this address or these credentials",
    404: "check the url; mirrors remove old images",
    410: "the image was removed; look for a newer one",
    451: "the server may not deliver it for legal reasons: use another source",
}
_TRY_LATER: Final = "try again later, or use another mirror"
_NO_FILE: Final = "the server has no file at this url: check the url, or use another mirror"
_OTHER_CLIENT: Final = "check the url and the requirements of this server, or use another mirror"
_CHECK_PROXY: Final = "check that proxy; it is set by network.proxy in the site file"
_TUNNEL: Final = re.compile(r"Tunnel connection failed: (\d+) ?(.*)", re.DOTALL)
#: Reasons of OpenSSL for an answer that is not TLS, in its versions 1.1 to 3.x.
_NOT_TLS: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"}
)
_OLD_TLS: Final = frozenset(
    {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "DH_KEY_TOO_SMALL", "NO_PROTOCOLS_AVAILABLE"}
)
#: The beginning of a TLS alert, in the text that the HTTP parser quotes.
_TLS_ALERT: Final = "\x15\x03"
_OTHER_PROXIES: Final = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")

#: Codes of X509_verify_cert, from x509_vfy.h of OpenSSL.
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10
_REVOKED: Final = 23
_OTHER_NAME: Final = frozenset({62, 64})
_UNKNOWN_AUTHORITY: Final = frozenset({18, 19, 20, 21})
_WEAK: Final = frozenset({66, 67, 68})


def plain(error: Exception) -> str:
    """Return in a few printable words why a connection broke."""
    root = error.__cause__ or error
    if isinstance(root, http.client.IncompleteRead):
        return "the server closed the connection"
    if isinstance(root, ssl.SSLError) and root.reason:
        return f"the TLS connection failed: {root.reason.lower().replace('_', ' ')}"
    text = getattr(root, "strerror", None) or str(root) or type(root).__name__
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def not_trusted(url: Url, error: ssl.SSLCertVerificationError, *, ended: str | None) -> SourceUnavailable:
    """Return the error for a certificate that was not accepted; *ended* is the day on which it expired, if known."""
    named = f"the certificate of {url.shown}"
    code = error.verify_code
    if code == _EXPIRED:
        return SourceUnavailable(
            f"{named} expired on {ended}" if ended else f"{named}, or one that it depends on, has expired",
            hint="report this to the site or use another mirror; if the date is in the future, check this "
            "machine's clock",
        )
    if code == _NOT_YET_VALID:
        return SourceUnavailable(
            f"{named} is not valid yet",
            hint="check this machine's clock: it is probably behind",
        )
    if code in _OTHER_NAME:
        return SourceUnavailable(
            f"{named} is for another name than {url.host}",
            hint="use the name that the certificate has; a login page or a proxy in between may answer instead",
        )
    if code in _UNKNOWN_AUTHORITY:
        return SourceUnavailable(
            f"{named} is issued by an unknown authority",
            hint="if you trust it, name its certificate (PEM) under network.ca_bundle in the site file",
        )
    if code == _REVOKED:
        return SourceUnavailable(
            f"{named} was revoked", hint="report this to the site, or use another mirror"
        )
    if code in _WEAK:
        return SourceUnavailable(
            f"{named} has a key or digest that is too weak",
            hint="report this to the site, or use another mirror",
        )
    return SourceUnavailable(
        f"{named} cannot be verified: {printable(error.verify_message)}",
        hint="report this to the site, or use another mirror",
    )


def unreachable(url: Url, error: Exception, *, proxy: Url | None) -> SourceUnavailable:
    """Return the error for a request to *url*, sent through *proxy* if there is one, that got no answer."""
    root = error.__cause__ or error
    if proxy is not None and (refused := _TUNNEL.search(str(root))):
        return _proxy_refused(url, proxy, int(refused[1]), refused[2])
    if isinstance(root, ssl.SSLError) and root.reason in _NOT_TLS:
        return SourceUnavailable(
            f"{url.shown} could not be reached: port {url.effective_port} of {url.host} does not answer with TLS",
            hint=f"if the server offers plain http on that port, write http://{url.authority}",
        )
    if isinstance(root, ssl.SSLError) and root.reason in _OLD_TLS:
        return SourceUnavailable(
            f"{url.shown} could not be reached: the server offers only versions or keys of TLS that are too old",
            hint="report this to the site, or use another mirror",
        )
    if isinstance(root, http.client.BadStatusLine) and _TLS_ALERT in str(root):
        return SourceUnavailable(
            f"{url.shown} could not be reached: port {url.effective_port} of {url.host} expects TLS",
            hint=f"write https://{url.authority}",
        )
    if isinstance(root, http.client.RemoteDisconnected) and url.scheme == "http":
        return SourceUnavailable(
            f"{url.shown} could not be reached: the server closed the connection without an answer",
            hint="check the url, and whether that port expects https",
            retry=True,
        )
    if proxy is not None and not isinstance(root, (ssl.SSLError, http.client.HTTPException)):
        return SourceUnavailable(
            f"{url.shown} could not be reached through the proxy {proxy.shown}: {plain(error)}",
            hint=_CHECK_PROXY,
            retry=True,
        )
    return SourceUnavailable(
        f"{url.shown} could not be reached: {plain(error)}",
        hint=unused_proxy() or "check the url and the network between here and there",
        retry=True,
    )


def unusable_proxy(proxy: Url, reason: str) -> SourceUnavailable:
    """Return the error for a *proxy* that cannot be connected to at all."""
    return SourceUnavailable(
        f"the proxy {proxy.shown} cannot be used: {reason}", hint=_CHECK_PROXY, retry=True
    )


def unused_proxy(environ: Mapping[str, str] = os.environ) -> str:
    """Return a hint that names the proxy variable of the environment, which is not used; empty without one."""
    name = next((name for name in _OTHER_PROXIES if environ.get(name)), None)
    return f"the environment variable {name} is not used: set network.proxy in the site file" if name else ""


def refused(url: Url, exchange: Exchange, *, page: str | None = None) -> SourceUnavailable:
    """Return the error for an answer without a body to use; *page* is the url that redirected to *url*, if any."""
    status = exchange.answer.status
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "(an unknown status)"
    return SourceUnavailable(
        f"{url.shown} answered {status} {phrase}{f' (redirected from {page})' if page else ''}",
        hint=_HINTS.get(status) or _hint_of(status),
        retry=status in TRANSIENT,
        status=status,
        retry_after=retry_after(exchange.headers) if status in TRANSIENT else None,
    )


def _hint_of(status: int) -> str:
    """Return the hint for a *status* that has no specific one: only some failures are temporary."""
    if status in TRANSIENT:
        return _TRY_LATER
    return _OTHER_CLIENT if 400 <= status < 500 else _NO_FILE


def unrequested_part(url: Url, exchange: Exchange) -> SourceUnavailable:
    """Return the error for an answer that has only a part, although the whole was requested."""
    part = printable(exchange.answer.headers.get("Content-Range") or "without Content-Range")
    return SourceUnavailable(
        f"{url.shown} answered 206 Partial Content ({part}) to a request for the whole",
        hint="the server, or a cache before it, sends parts that were not requested: use another mirror",
        status=exchange.answer.status,
    )


def unclear_end(url: Url, fields: str) -> SourceUnavailable:
    """Return the error for an answer whose header *fields* do not define where its body ends."""
    return SourceUnavailable(
        f"{url.shown} answered with '{printable(fields)}', which does not define where the body ends",
        hint="a body that was cut off could not be recognised: use another mirror, or report this to the site",
    )


def _proxy_refused(url: Url, proxy: Url, status: int, phrase: str) -> SourceUnavailable:
    hint = "ask the operator of that proxy; it is set by network.proxy in the site file"
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        hint = "the proxy requires credentials: write user:password@ before its host, in network.proxy of the site file"
    return SourceUnavailable(
        f"the proxy {proxy.shown} does not connect to {url.shown}: it answered {status} {printable(phrase)}".rstrip(),
        hint=hint,
        retry=status in TRANSIENT,
        status=status,
    )
