"""Urls, parsed strictly: a text that two programs could read differently is refused."""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NoReturn
from urllib.parse import quote, unquote, urljoin

from imageport.errors import SourceRejected

#: Scheme, authority, path, query and fragment, after RFC 3986 appendix B.
_PARTS = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?([^?#]*)(\?[^#]*)?(?:#.*)?", re.DOTALL)
#: Programs disagree on these; the command line makes lone surrogates of bytes that are not UTF-8.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")
_HOST_AND_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(?::([0-9]*))?")
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_LOCAL = "to import a local file, write its path"
_DEFAULT_PORTS = {"http": 80, "https": 443, "ftp": 21}


@dataclass(frozen=True, slots=True)
class Url:
    """A url with a host.

    ``host`` is a name in its ASCII form (lower case, no trailing dot) or an address in its shortest form,
    without brackets or zone. ``port`` is None when the url names none. ``target`` is path and query as a
    request sends them. ``str()`` gives the url without credentials and fragment.
    """

    scheme: str
    host: str
    port: int | None
    target: str
    credentials: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, text: str) -> Url:
        """Parse *text*. Raises ``SourceRejected``, and nothing else, for text that is not clearly a url.

        An ``@`` behind a host with a port or a user is refused: the apparent host may be half of a password.
        """
        return cls._parse(text, typed=True)

    @classmethod
    def _parse(cls, text: str, *, typed: bool) -> Url:
        if _FORBIDDEN.search(text):
            _refuse(text, "it contains a blank, a control character or a backslash", "write %20 for a blank")
        found = _PARTS.fullmatch(text)
        if found is None or not found[1]:
            _refuse(text, "it has no scheme", f"write for instance https://example.org/image.qcow2; {_LOCAL}")
        scheme, authority, path, query = found.groups()
        if typed and {":", "@"} & set(authority or "") and "@" in text[found.end(2) :]:
            _refuse(
                text,
                "a '/', '?' or '#' stands in its password, or an '@' in its path",
                "write %2F for /, %3F for ? and %23 for # in a password, and %40 for @ in a path or query",
            )
        userinfo, at, place = (authority or "").rpartition("@")
        split = _HOST_AND_PORT.fullmatch(place)
        if not split or "@" in userinfo or not userinfo.isascii():
            _refuse(
                text,
                "its host and port cannot be distinguished",
                "write host:port, or [address]:port for IPv6",
            )
        if not split[1]:
            hint = _LOCAL if scheme.lower() == "file" else "write the name of the server after the scheme"
            _refuse(text, "it names no host", hint)
        port = int(split[2].lstrip("0")[:6] or 0) if split[2] else None
        if port is not None and not 0 < port < 65536:
            _refuse(text, f"{split[2]} is not a port number", "ports are 1 to 65535")
        return cls(
            scheme=scheme.lower(),
            host=normal_host(split[1]),
            port=port,
            target=quote((path or "/") + (query or ""), safe=_PRINTABLE),
            credentials=unquote(userinfo) if at else None,
        )

    def join(self, location: str) -> Url:
        """Return the url that *location*, a ``Location`` header, means on the page at this url."""
        try:
            # Servers send blanks and raw bytes in Location; headers are read as Latin-1.
            joined = urljoin(str(self), quote(location.encode("latin-1", "replace"), safe=_PRINTABLE))
        except ValueError:
            _refuse(location, "it is malformed")
        return self._parse(joined, typed=False)

    @property
    def effective_port(self) -> int | None:
        """The port, or the usual one of the scheme, or None when the scheme has none."""
        return self.port or _DEFAULT_PORTS.get(self.scheme)

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """The origin, to which credentials belong: scheme, host and port (RFC 6454)."""
        return self.scheme, self.host, self.effective_port

    @property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The host as an address, or None when it is a name."""
        return as_address(self.host)

    @property
    def authority(self) -> str:
        """Host and port as they are written in a url."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    @property
    def basic_authorization(self) -> str | None:
        """The ``Authorization`` header for the credentials (RFC 7617), or None."""
        if self.credentials is None:
            return None
        pair = self.credentials if ":" in self.credentials else f"{self.credentials}:"
        return f"Basic {b64encode(pair.encode()).decode()}"

    @property
    def shown(self) -> str:
        """The url for messages: without credentials and without the query, which may hold a signature."""
        return f"{self.scheme}://{self.authority}{self.target.partition('?')[0]}"

    def __str__(self) -> str:
        # The target of a redirect may have an @ there; ``parse`` would take it for the end of a password.
        target = self.target if self.port is None else self.target.replace("@", "%40")
        return f"{self.scheme}://{self.authority}{target}"


def normal_host(host: str) -> str:
    """Return the one spelling of *host* that is compared, resolved and connected to.

    Addresses in any but the usual notation (decimal, octal, hexadecimal, short) are refused: programs disagree on their
    meaning. Raises ``SourceRejected``.
    """
    if ":" in host:
        address = as_address(host.removeprefix("[").removesuffix("]").partition("%")[0])
        if address is None:
            _refuse(host, "it is not an IPv6 address")
        return str(address)
    try:
        name = host.lower() if host.isascii() else host.casefold().encode("idna").decode("ascii").lower()
    except UnicodeError:
        _refuse(host, "it cannot be written as an ASCII name", "write the xn-- form of the name")
    labels = name.removesuffix(".").split(".")
    if len(name) > 254 or not all(_LABEL.fullmatch(label) for label in labels):
        _refuse(host, "it is not a host name")
    if _NUMBER_LABEL.fullmatch(labels[-1]) and as_address(name) is None:
        _refuse(host, "programs interpret this number in different ways", "write addresses as 192.0.2.1")
    return ".".join(labels)


def as_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address that *text* is in the usual notation, or None."""
    try:
        return IPv6Address(text) if ":" in text else IPv4Address(text)
    except AddressValueError:
        return None


def without_credentials(text: str) -> str:
    """Return *text*, which may be a malformed url, without user, password, query and fragment."""
    scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text)
    start = scheme[0] if scheme else ""
    # Text before an @ may be a password, and so may the text in place of a port.
    place = re.split("[?#]", text[len(start) :].rpartition("@")[2], maxsplit=1)[0]
    return start + re.sub(r"^([^/:\[\]]*):(?![0-9]*(?:/|$))[^/]*", r"\1:***", place)


def _refuse(text: str, reason: str, hint: str = "check the url for a typing mistake") -> NoReturn:
    shown = ascii(without_credentials(text)[:200])
    raise SourceRejected(f"{shown} is not accepted as a url: {reason}", hint=hint)
