"""Contexts of imports and ways to the network, for tests of one plugin and of its callers."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from imageport.context import Context
from imageport.http.network import NetworkRules
from imageport.http.transport import HttpTransport
from imageport.importing.context_factory import HostContext
from imageport.limits import Limits
from imageport.values import Caller

#: The networks of this machine.
LOOPBACK = ("127.0.0.0/8", "::1/128")


def make_context(work_folder: Path, *, step: str = "step", **fields: Any) -> Context:
    """Return the context of the step called *step*, whose scratch files are in *work_folder*.

    *fields* replace those of :class:`~imageport.Context`, such as ``caller``, ``limits`` and ``http``, which is None
    without. ``emit`` gets every event that the step sends, and ``announce_location`` the label of the step and the
    location of each copy that it announces.
    """
    return make_host(work_folder, **fields).for_step(step)


def make_host(work_folder: Path, **fields: Any) -> HostContext:
    """Return the context of an import itself, which makes those of its steps; *fields* as in ``make_context``."""
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
        "announce_location": lambda label, location: None,
    }
    return HostContext(work_folder=work_folder, **{**services, **fields})


def make_transport(
    *,
    allow: Sequence[str] = LOOPBACK,
    resolver: Callable[[str], Sequence[str]] | None = None,
    validate: Callable[[str, str | None], None] | None = None,
    cancelled: threading.Event | None = None,
    limits: Limits | None = None,
    **rules: Any,
) -> HttpTransport:
    """Return a way to the networks in *allow*, which knows no name but ``localhost``; *rules* are those of a site.

    Close it at the end of the test.
    """
    return HttpTransport(
        rules=NetworkRules.model_validate({"allow_networks": allow, **rules}),
        limits=limits or Limits(connect_timeout=5, read_timeout=5),
        validate=validate or (lambda url, redirected_from: None),
        cancelled=cancelled or threading.Event(),
        resolver=resolver or names({"localhost": ["127.0.0.1"]}),
    )


def names(known: Mapping[str, Sequence[str]]) -> Callable[[str], Sequence[str]]:
    """Return a resolver that knows the names in *known*, with their addresses, and no others."""

    def resolve(host: str) -> Sequence[str]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known[host]

    return resolve


def unused(*_: object) -> Any:
    """Stand for a service that the test has no use for: calling it fails the test."""
    raise AssertionError("the tested code must not call this")
