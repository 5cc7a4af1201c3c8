"""Support of stores that were written for the bases of the first design; ``imageport.deprecation`` has its end."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from imageport.deprecation import STORE_CLOSE, STORE_FAILURES
from imageport.plugin import Plugin


def adapt(store: type[Plugin[Any]]) -> None:
    """Give *store* the names of today: ``finish`` for ``close(copy)``, and ``errors`` for ``failures``."""
    own = vars(store)
    close = own.get("close")
    if isinstance(close, FunctionType) and close.__code__.co_argcount > 1 and "finish" not in own:
        STORE_CLOSE.warn(store)
        store.finish = close  # type: ignore[attr-defined]
        store.close = Plugin.close  # type: ignore[method-assign]
    if "failures" in own and "errors" not in own:
        STORE_FAILURES.warn(store)
        # The table of the base has the errors of the operating system.
        store.errors = {kind: "" for kind in own["failures"] if not issubclass(kind, OSError)}  # type: ignore[attr-defined]
