"""Import virtual-machine images: read once, checked completely, written to every store at the same time.

The names for plugins are importable from here and listed in ``__all__``; ``imageport.events`` has the classes of
events.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imageport.context import Context
    from imageport.data import ImageData
    from imageport.dataplane.buffers import CHUNK_SIZE, ZERO_CHUNK, Chunk, Chunks, lend_buffer, rechunked
    from imageport.dataplane.file_types import FileType, identify
    from imageport.dataplane.inspection import (
        Fault,
        FormatInspection,
        ImageFormat,
        InspectionPolicy,
        inspect_file,
        inspect_head,
    )
    from imageport.dataplane.sparse import SparseFile, nonzero_ranges, write_sparse
    from imageport.errors import (
        Cancelled,
        Conflict,
        ImageportError,
        LimitExceeded,
        SourceRejected,
        SourceUnavailable,
        StoreFailed,
        TransformFailed,
        UnsupportedFormat,
        UsageError,
        VerificationFailed,
    )
    from imageport.events import Event
    from imageport.hookspecs import hookimpl
    from imageport.http.exchange import Rest
    from imageport.http.network import unwrap_address
    from imageport.http.parallel import parallel_chunks
    from imageport.http.responses import HttpResponse
    from imageport.http.transport import HttpTransport
    from imageport.http.urls import Url
    from imageport.limits import ByteSize, Limits, format_size
    from imageport.local_files import LocalFiles
    from imageport.partial import PartialSource
    from imageport.plugin import NoConfig, Plugin, PluginConfig
    from imageport.text import printable
    from imageport.values import (
        RESERVED_PREFIX,
        Caller,
        Image,
        ImageRecord,
        ImageStatus,
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
    "Chunk",
    "Chunks",
    "Conflict",
    "Context",
    "Event",
    "Fault",
    "FileType",
    "FormatInspection",
    "HttpResponse",
    "HttpTransport",
    "Image",
    "ImageData",
    "ImageFormat",
    "ImageRecord",
    "ImageStatus",
    "ImageportError",
    "InspectionPolicy",
    "LimitExceeded",
    "Limits",
    "LocalFiles",
    "Location",
    "NoConfig",
    "PartialSource",
    "PendingCopy",
    "Plugin",
    "PluginConfig",
    "Rest",
    "Source",
    "SourceRejected",
    "SourceUnavailable",
    "SparseFile",
    "StoreFailed",
    "TransformFailed",
    "UnsupportedFormat",
    "Url",
    "UsageError",
    "VerificationFailed",
    "Written",
    "format_size",
    "hookimpl",
    "identify",
    "inspect_file",
    "inspect_head",
    "lend_buffer",
    "nonzero_ranges",
    "parallel_chunks",
    "printable",
    "rechunked",
    "unwrap_address",
    "write_sparse",
]

#: Where the public names are. Each module is imported when the first of its names is asked for: commands start in a
#: fraction of the time that all of them take.
_HOMES = {
    "CHUNK_SIZE": "imageport.dataplane.buffers",
    "RESERVED_PREFIX": "imageport.values",
    "ZERO_CHUNK": "imageport.dataplane.buffers",
    "ByteSize": "imageport.limits",
    "Caller": "imageport.values",
    "Cancelled": "imageport.errors",
    "Chunks": "imageport.dataplane.buffers",
    "Conflict": "imageport.errors",
    "Context": "imageport.context",
    "Event": "imageport.events",
    "Fault": "imageport.dataplane.inspection",
    "FileType": "imageport.dataplane.file_types",
    "FormatInspection": "imageport.dataplane.inspection",
    "HttpResponse": "imageport.http.responses",
    "HttpTransport": "imageport.http.transport",
    "Image": "imageport.values",
    "ImageData": "imageport.data",
    "ImageFormat": "imageport.dataplane.inspection",
    "ImageRecord": "imageport.values",
    "ImageStatus": "imageport.values",
    "ImageportError": "imageport.errors",
    "InspectionPolicy": "imageport.dataplane.inspection",
    "LimitExceeded": "imageport.errors",
    "Limits": "imageport.limits",
    "LocalFiles": "imageport.local_files",
    "Location": "imageport.values",
    "NoConfig": "imageport.plugin",
    "PartialSource": "imageport.partial",
    "PendingCopy": "imageport.values",
    "Chunk": "imageport.dataplane.buffers",
    "Plugin": "imageport.plugin",
    "PluginConfig": "imageport.plugin",
    "Rest": "imageport.http.exchange",
    "Source": "imageport.values",
    "SourceRejected": "imageport.errors",
    "SourceUnavailable": "imageport.errors",
    "SparseFile": "imageport.dataplane.sparse",
    "StoreFailed": "imageport.errors",
    "TransformFailed": "imageport.errors",
    "UnsupportedFormat": "imageport.errors",
    "Url": "imageport.http.urls",
    "UsageError": "imageport.errors",
    "VerificationFailed": "imageport.errors",
    "Written": "imageport.values",
    "nonzero_ranges": "imageport.dataplane.sparse",
    "rechunked": "imageport.dataplane.buffers",
    "format_size": "imageport.limits",
    "hookimpl": "imageport.hookspecs",
    "identify": "imageport.dataplane.file_types",
    "inspect_file": "imageport.dataplane.inspection",
    "inspect_head": "imageport.dataplane.inspection",
    "lend_buffer": "imageport.dataplane.buffers",
    "parallel_chunks": "imageport.http.parallel",
    "printable": "imageport.text",
    "unwrap_address": "imageport.http.network",
    "write_sparse": "imageport.dataplane.sparse",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'imageport' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
