"""Imageport as a library: the work of the commands, for commands, services, workers and tests.

``Imageport`` is a site with its configuration, plugins and catalog; its ``session`` has the records and actions of one
caller there. No function prints, asks, or ends the process: results are values, and errors are those of
``imageport.errors``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imageport.lazy import lazy_names

if TYPE_CHECKING:
    from imageport.app.diagnosis import Diagnosis
    from imageport.app.fields import ImageFields, ImageOrder, ImportOptions, TaskStatus
    from imageport.app.housekeeping import Leftover
    from imageport.app.imports import PreparedImport
    from imageport.app.instance import Imageport
    from imageport.app.plugins import options_of
    from imageport.app.session import Session
    from imageport.app.transfer import Download
    from imageport.app.types import (
        Interruption,
        Report,
        SourceReport,
        StageReport,
        StoreReport,
        TaskRow,
        Upgrade,
    )

__all__ = [
    "Diagnosis",
    "Download",
    "ImageFields",
    "ImageOrder",
    "Imageport",
    "ImportOptions",
    "Interruption",
    "Leftover",
    "PreparedImport",
    "Report",
    "Session",
    "SourceReport",
    "StageReport",
    "StoreReport",
    "TaskRow",
    "TaskStatus",
    "Upgrade",
    "options_of",
]

if not TYPE_CHECKING:  # with it, type checkers would not find misspelt names
    __getattr__ = lazy_names(
        __name__,
        {
            "diagnosis": ("Diagnosis",),
            "housekeeping": ("Leftover",),
            "imports": ("PreparedImport",),
            "instance": ("Imageport",),
            "fields": ("ImageFields", "ImageOrder", "ImportOptions", "TaskStatus"),
            "plugins": ("options_of",),
            "session": ("Session",),
            "transfer": ("Download",),
            "types": (
                "Interruption",
                "Report",
                "SourceReport",
                "StageReport",
                "StoreReport",
                "TaskRow",
                "Upgrade",
            ),
        },
    )


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
