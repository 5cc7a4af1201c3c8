"""The context of an import, for tests of one step or store."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

from imageport import Caller, Context, HttpTransport
from imageport.limits import Limits


def unused(*_: object) -> Any:
    raise AssertionError("what is tested has no use for this")


def make_context(work_folder: Path, **fields: Any) -> Context:
    """Return a context without network; *fields* replace others."""
    services: dict[str, Any] = {
        "caller": Caller(user="alice"),
        "image_id": "image-1",
        "task_id": "task-1",
        "step": "step",
        "limits": Limits(),
        "http": cast("HttpTransport", None),
        "log": logging.getLogger("imageport.test"),
        "emit": lambda event: None,
        "read_replica": unused,
        "announce_location": unused,
    }
    return Context(work_folder=work_folder, **{**services, **fields})
