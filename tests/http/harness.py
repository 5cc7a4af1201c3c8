"""Transports and contexts as the runner makes them, for tests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from imageport import Caller, Context, Event
from imageport.http.network import NetworkRules
from imageport.http.transport import HttpTransport
from imageport.limits import Limits
from imageport.testing import contexts

LOOPBACK = ("127.0.0.0/8", "::1/128")


def no_filter(url: str, redirected_from: str | None) -> None:
    """Let everything pass."""


def names(known: Mapping[str, Sequence[str]]) -> Callable[[str], Sequence[str]]:
    """Return a resolver that knows these names and no others."""

    def resolve(host: str) -> Sequence[str]:
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return known[host]

    return resolve


def make_transport(
    *,
    allow: Sequence[str] = LOOPBACK,
    resolver: Callable[[str], Sequence[str]] | None = None,
    validate: Callable[[str, str | None], None] = no_filter,
    cancelled: threading.Event | None = None,
    limits: Limits | None = None,
    **rules: Any,
) -> HttpTransport:
    """Return a transport that may use loopback addresses."""
    return HttpTransport(
        rules=NetworkRules.model_validate({"allow_networks": allow, **rules}),
        limits=limits or Limits(connect_timeout=5, read_timeout=5),
        validate=validate,
        cancelled=cancelled or threading.Event(),
        resolver=resolver or names({"localhost": ["127.0.0.1"]}),
    )


def make_context(
    transport: HttpTransport, work_folder: Path, events: list[Event], limits: Limits | None = None
) -> Context:
    """Return the contexts of an import whose events go to *events*."""

    return contexts.make_context(
        work_folder,
        caller=Caller(user="somebody"),
        image_id="6a0d5f0e-1c9e-4a5b-9a3c-000000000001",
        limits=limits or Limits(),
        http=transport,
        emit=events.append,
        announce_location=lambda label, location: None,
    )
