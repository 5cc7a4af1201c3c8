"""A context and events for tests of observers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from imageport import Caller, Context, Event, HttpTransport, ImageRecord
from imageport.http.network import NetworkRules
from imageport.limits import Limits

RECORD = ImageRecord(
    id="3f4a",
    name="mine",
    status="importing",
    properties={
        "os_glance_import_task": "t1",
        "os_glance_importing_to_stores": "a,b",
        "os_glance_failed_import": "",
    },
)


def context(folder: Path, *, networks: Sequence[str] = ()) -> Context:
    """Return a context whose transport is the real one."""

    def never(*_: object) -> NoReturn:
        raise AssertionError("an observer has no use for this")

    limits = Limits()
    cancelled = threading.Event()
    return Context(
        caller=Caller(user="tester"),
        image_id="3f4a",
        task_id="t1",
        step="observer",
        limits=limits,
        http=HttpTransport(
            rules=NetworkRules.model_validate({"allow_networks": list(networks)}),
            limits=limits,
            validate=lambda _url, _page: None,
            cancelled=cancelled,
        ),
        log=logging.getLogger("test"),
        work_folder=folder,
        emit=never,
        read_replica=never,
        announce_location=never,
        cancelled=cancelled,
    )


def event(kind: str, at: float = 1_700_000_000.0, **fields: Any) -> Event:
    """Return an event of one import."""
    return Event(kind=kind, at=at, task_id="t1", image_id="3f4a", **fields)
