"""Import virtual-machine images: read once, checked completely, written to every store at the same time.

``__all__`` lists the contract between Imageport and its plugins. Tools for plugins and programs are in the other
public modules, which ``PUBLIC_MODULES`` lists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageport.lazy import lazy_names

if TYPE_CHECKING:
    from imageport.context import Context
    from imageport.contract import CONTRACT
    from imageport.data import ImageData
    from imageport.dataplane.buffers import Chunks
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
    from imageport.plugin import NoConfig, Plugin, PluginConfig
    from imageport.values import Caller, Image, ImageRecord, ImageStatus, Location, PendingCopy, Source

__all__ = [
    "CONTRACT",
    "Caller",
    "Cancelled",
    "Chunks",
    "Conflict",
    "Context",
    "Event",
    "Image",
    "ImageData",
    "ImageRecord",
    "ImageStatus",
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
    "UnsupportedFormat",
    "UsageError",
    "VerificationFailed",
    "hookimpl",
]

#: The public modules: ``__all__`` of each lists its public names. All other modules may change in any release.
PUBLIC_MODULES = (
    "imageport",
    "imageport.access",
    "imageport.app",
    "imageport.commands",
    "imageport.configuration",
    "imageport.dataplane",
    "imageport.errors",
    "imageport.events",
    "imageport.http",
    "imageport.limits",
    "imageport.local_files",
    "imageport.partial_source",
    "imageport.stores",
    "imageport.testing",
    "imageport.testing.http_answers",
    "imageport.testing.http_server",
    "imageport.text",
    "imageport.values",
)

if not TYPE_CHECKING:  # with it, type checkers would not find misspelt names
    __getattr__ = lazy_names(
        __name__,
        {
            "context": ("Context",),
            "contract": ("CONTRACT",),
            "data": ("ImageData",),
            "dataplane.buffers": ("Chunks",),
            "errors": (
                "Cancelled",
                "Conflict",
                "ImageportError",
                "LimitExceeded",
                "SourceRejected",
                "SourceUnavailable",
                "StoreFailed",
                "TransformFailed",
                "UnsupportedFormat",
                "UsageError",
                "VerificationFailed",
            ),
            "events": ("Event",),
            "hookspecs": ("hookimpl",),
            "plugin": ("NoConfig", "Plugin", "PluginConfig"),
            "values": ("Caller", "Image", "ImageRecord", "ImageStatus", "Location", "PendingCopy", "Source"),
        },
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
