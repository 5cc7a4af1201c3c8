"""A context and events for tests of observers."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_type_hints

from imageport import Caller, Context, Event, ImageRecord
from imageport.http import HttpTransport
from imageport.http.network import NetworkRules
from imageport.importing.context_factory import HostContext
from imageport.limits import Limits
from imageport.testing.contexts import make_host, unused

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


def host(folder: Path, *, networks: Sequence[str] = ()) -> HostContext:
    """Return the context of an import whose transport is the real one."""
    limits = Limits()
    cancelled = threading.Event()
    http = HttpTransport(
        rules=NetworkRules.model_validate({"allow_networks": list(networks)}),
        limits=limits,
        validate=lambda _url, _page: None,
        cancelled=cancelled,
    )
    return make_host(
        folder,
        caller=Caller(user="tester"),
        image_id="3f4a",
        task_id="t1",
        limits=limits,
        http=http,
        log=logging.getLogger("test"),
        emit=unused,
        cancelled=cancelled,
    )


def context(folder: Path, *, networks: Sequence[str] = ()) -> Context:
    """Return the context of an observer."""
    return host(folder, networks=networks).for_step("observer")


_CLASSES: dict[str, Any] = {
    kind: event_class
    for event_class in get_args(Event)
    for kind in get_args(get_type_hints(event_class)["kind"])
}

#: Values of the fields that some events cannot do without.
_USUAL: dict[str, Any] = {
    "record": RECORD,
    "step": "convert",
    "message": "transform",
    "lane": "convert",
    "done": 0,
    "verdict": "passed",
    "detail": {},
}


def event(kind: str, at: float = 1_700_000_000.0, **fields: Any) -> Event:
    """Return an event of one import."""
    event_class = _CLASSES[kind]
    needed = {
        item.name
        for item in dataclasses.fields(event_class)
        if item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
    }
    usual = {name: value for name, value in _USUAL.items() if name in needed}
    made: Event = event_class(kind=kind, at=at, task_id="t1", image_id="3f4a", **{**usual, **fields})
    return made
