"""Import virtual-machine images: read once, checked completely, written to every store at the same time.

Everything a plugin author needs is importable from here and listed in ``__all__``.
"""

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
