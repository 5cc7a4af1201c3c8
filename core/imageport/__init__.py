"""Import virtual-machine images: read once, checked completely, written to every store at the same time.

Everything a plugin author needs is importable from here and listed in ``__all__``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imageport.configuration.positions import printable
    from imageport.context import Context
    from imageport.data import CHUNK_SIZE, ZERO_CHUNK, Chunks, ImageData, write_sparse
    from imageport.errors import (
        Cancelled,
        Conflict,
        ImageportError,
        LimitExceeded,
        SourceRejected,
        SourceUnavailable,
        StoreFailed,
        TransformFailed,
        UsageError,
        VerificationFailed,
    )
    from imageport.hookspecs import hookimpl
    from imageport.http.network import unwrap_address
    from imageport.http.transport import HttpResponse, HttpTransport
    from imageport.http.urls import Url
    from imageport.inspection import FormatInspection, ImageFormat, check_declared, inspect_file
    from imageport.limits import ByteSize, format_size
    from imageport.plugin import NoConfig, Plugin, PluginConfig
    from imageport.values import (
        RESERVED_PREFIX,
        Caller,
        Event,
        Image,
        ImageRecord,
        Location,
        PendingCopy,
        Source,
        Written,
    )

__all__ = [
    "CHUNK_SIZE",
    "RESERVED_PREFIX",
    "ZERO_CHUNK",
    "ByteSize",
    "Caller",
    "Cancelled",
    "Chunks",
    "Conflict",
    "Context",
    "Event",
    "FormatInspection",
    "HttpResponse",
    "HttpTransport",
    "Image",
    "ImageData",
    "ImageFormat",
    "ImageRecord",
    "ImageportError",
    "LimitExceeded",
    "Location",
    "NoConfig",
    "PendingCopy",
    "Plugin",
    "PluginConfig",
    "Source",
    "SourceRejected",
    "SourceUnavailable",
    "StoreFailed",
    "TransformFailed",
    "Url",
    "UsageError",
    "VerificationFailed",
    "Written",
    "check_declared",
    "format_size",
    "hookimpl",
    "inspect_file",
    "printable",
    "unwrap_address",
    "write_sparse",
]

#: Where the public names are. Each module is imported when the first of its names is asked for: commands start in a
#: fraction of the time that all of them take.
_HOMES = {
    "CHUNK_SIZE": "imageport.data",
    "RESERVED_PREFIX": "imageport.values",
    "ZERO_CHUNK": "imageport.data",
    "ByteSize": "imageport.limits",
    "Caller": "imageport.values",
    "Cancelled": "imageport.errors",
    "Chunks": "imageport.data",
    "Conflict": "imageport.errors",
    "Context": "imageport.context",
    "Event": "imageport.values",
    "FormatInspection": "imageport.inspection",
    "HttpResponse": "imageport.http.transport",
    "HttpTransport": "imageport.http.transport",
    "Image": "imageport.values",
    "ImageData": "imageport.data",
    "ImageFormat": "imageport.inspection",
    "ImageRecord": "imageport.values",
    "ImageportError": "imageport.errors",
    "LimitExceeded": "imageport.errors",
    "Location": "imageport.values",
    "NoConfig": "imageport.plugin",
    "PendingCopy": "imageport.values",
    "Plugin": "imageport.plugin",
    "PluginConfig": "imageport.plugin",
    "Source": "imageport.values",
    "SourceRejected": "imageport.errors",
    "SourceUnavailable": "imageport.errors",
    "StoreFailed": "imageport.errors",
    "TransformFailed": "imageport.errors",
    "Url": "imageport.http.urls",
    "UsageError": "imageport.errors",
    "VerificationFailed": "imageport.errors",
    "Written": "imageport.values",
    "check_declared": "imageport.inspection",
    "format_size": "imageport.limits",
    "hookimpl": "imageport.hookspecs",
    "inspect_file": "imageport.inspection",
    "printable": "imageport.configuration.positions",
    "unwrap_address": "imageport.http.network",
    "write_sparse": "imageport.data",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'imageport' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
