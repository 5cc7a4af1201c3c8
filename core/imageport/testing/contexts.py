"""The contexts of an import, for tests of one step or store and of what calls them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, cast

from imageport import Caller, Context
from imageport.http import HttpTransport
from imageport.importing.context_factory import HostContext
from imageport.limits import Limits


def unused(*_: object) -> Any:
    raise AssertionError("what is tested has no use for this")


def make_host(work_folder: Path, **fields: Any) -> HostContext:
    """Return the context of an import without network; *fields* replace others."""
    services: dict[str, Any] = {
        "caller": Caller(user="alice"),
        "image_id": "image-1",
        "task_id": "task-1",
        "step": "",
        "limits": Limits(),
        "http": cast("HttpTransport", None),
        "log": logging.getLogger("imageport.test"),
        "emit": lambda event: None,
        "read_replica": unused,
        "announce_location": unused,
    }
    return HostContext(work_folder=work_folder, **{**services, **fields})


def make_context(work_folder: Path, *, step: str = "step", **fields: Any) -> Context:
    """Return the context of one step; ``emit``, if it is given, gets the events that the step sends."""
    return make_host(work_folder, **fields).for_step(step)
