"""Import virtual-machine images: read once, checked completely, written to every store at the same time.

The names for plugins are importable from here and listed in ``__all__``; ``imageport.events`` has the classes of
events.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imageport.buffers import CHUNK_SIZE, ZERO_CHUNK, Chunks, Piece, evened, lend_buffer
    from imageport.configuration.positions import printable
    from imageport.context import Context
    from imageport.data import ImageData
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
    from imageport.file_types import FileType, identify
    from imageport.hookspecs import hookimpl
    from imageport.http.exchange import Rest
    from imageport.http.network import unwrap_address
    from imageport.http.parallel import parallel_chunks
    from imageport.http.responses import HttpResponse
    from imageport.http.transport import HttpTransport
    from imageport.http.urls import Url
    from imageport.inspection import (
        Fault,
        FormatInspection,
        ImageFormat,
        InspectionPolicy,
        inspect_file,
        inspect_head,
    )
    from imageport.limits import ByteSize, Limits, format_size
    from imageport.partial import PartialSource
    from imageport.plugin import NoConfig, Plugin, PluginConfig
    from imageport.rules.local_files import LocalFiles
    from imageport.sparse import SparseFile, data_runs, write_sparse
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
    "Piece",
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
    "data_runs",
    "evened",
    "format_size",
    "hookimpl",
    "identify",
    "inspect_file",
    "inspect_head",
    "lend_buffer",
    "parallel_chunks",
    "printable",
    "unwrap_address",
    "write_sparse",
]

#: Where the public names are. Each module is imported when the first of its names is asked for: commands start in a
#: fraction of the time that all of them take.
_HOMES = {
    "CHUNK_SIZE": "imageport.buffers",
    "RESERVED_PREFIX": "imageport.values",
    "ZERO_CHUNK": "imageport.buffers",
    "ByteSize": "imageport.limits",
    "Caller": "imageport.values",
    "Cancelled": "imageport.errors",
    "Chunks": "imageport.buffers",
    "Conflict": "imageport.errors",
    "Context": "imageport.context",
    "Event": "imageport.events",
    "Fault": "imageport.inspection",
    "FileType": "imageport.file_types",
    "FormatInspection": "imageport.inspection",
    "HttpResponse": "imageport.http.responses",
    "HttpTransport": "imageport.http.transport",
    "Image": "imageport.values",
    "ImageData": "imageport.data",
    "ImageFormat": "imageport.inspection",
    "ImageRecord": "imageport.values",
    "ImageStatus": "imageport.values",
    "ImageportError": "imageport.errors",
    "InspectionPolicy": "imageport.inspection",
    "LimitExceeded": "imageport.errors",
    "Limits": "imageport.limits",
    "LocalFiles": "imageport.rules.local_files",
    "Location": "imageport.values",
    "NoConfig": "imageport.plugin",
    "PartialSource": "imageport.partial",
    "PendingCopy": "imageport.values",
    "Piece": "imageport.buffers",
    "Plugin": "imageport.plugin",
    "PluginConfig": "imageport.plugin",
    "Rest": "imageport.http.exchange",
    "Source": "imageport.values",
    "SourceRejected": "imageport.errors",
    "SourceUnavailable": "imageport.errors",
    "SparseFile": "imageport.sparse",
    "StoreFailed": "imageport.errors",
    "TransformFailed": "imageport.errors",
    "UnsupportedFormat": "imageport.errors",
    "Url": "imageport.http.urls",
    "UsageError": "imageport.errors",
    "VerificationFailed": "imageport.errors",
    "Written": "imageport.values",
    "data_runs": "imageport.sparse",
    "evened": "imageport.buffers",
    "format_size": "imageport.limits",
    "hookimpl": "imageport.hookspecs",
    "identify": "imageport.file_types",
    "inspect_file": "imageport.inspection",
    "inspect_head": "imageport.inspection",
    "lend_buffer": "imageport.buffers",
    "parallel_chunks": "imageport.http.parallel",
    "printable": "imageport.configuration.positions",
    "unwrap_address": "imageport.http.network",
    "write_sparse": "imageport.sparse",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'imageport' has no attribute '{name}'")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
