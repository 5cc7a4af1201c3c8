"""The one way to the network. (Interface fixed; see the docstrings.)"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Protocol

from imageport.data import Chunks

IPAddress = IPv4Address | IPv6Address


class HttpResponse(Protocol):
    """An open answer. Close it, or use it in a ``with`` statement."""

    url: str
    status: int
    headers: Mapping[str, str]

    @property
    def length(self) -> int | None:
        """Bytes of the body as announced, or None."""
        ...

    def chunks(self) -> Chunks: ...

    def close(self) -> None: ...

    def __enter__(self) -> HttpResponse: ...

    def __exit__(self, *_: object) -> None: ...


class HttpTransport(Protocol):
    """What ``ctx.http`` offers."""

    def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> HttpResponse: ...

    def get_text(self, url: str, *, limit: int = 1 << 20) -> str: ...

    def post_json(self, url: str, payload: Any) -> None: ...

    def resolve(self, host: str) -> tuple[IPAddress, ...]: ...
