"""The one way to the network: checked urls, checked addresses, pinned connections.

Plugins use it through ``ctx.http``, which is an ``HttpTransport``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageport.lazy import lazy_names

if TYPE_CHECKING:
    from imageport.http.exchange import Rest
    from imageport.http.network import IPAddress, IPNetwork, is_public, unwrap_address
    from imageport.http.parallel import parallel_chunks
    from imageport.http.responses import HttpResponse
    from imageport.http.transport import HttpTransport
    from imageport.http.urls import Url

__all__ = [
    "HttpResponse",
    "HttpTransport",
    "IPAddress",
    "IPNetwork",
    "Rest",
    "Url",
    "is_public",
    "parallel_chunks",
    "unwrap_address",
]

if not TYPE_CHECKING:  # with it, type checkers would not find misspelt names
    __getattr__ = lazy_names(
        __name__,
        {
            "exchange": ("Rest",),
            "network": ("IPAddress", "IPNetwork", "is_public", "unwrap_address"),
            "parallel": ("parallel_chunks",),
            "responses": ("HttpResponse",),
            "transport": ("HttpTransport",),
            "urls": ("Url",),
        },
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
