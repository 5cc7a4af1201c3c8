"""The life of a plugin: ``setup`` before its first hook, ``close`` after its last one, each once.

A plugin whose ``setup`` has failed is not closed.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

from imageport.deadlines import DEADLINES, error_after
from imageport.errors import ImageportError, StoreFailed
from imageport.limits import Limits
from imageport.plugin import Plugin
from imageport.watched_calls import Call, current_watch, side_by_side, within

T = TypeVar("T")

log = logging.getLogger(__name__)


class Lifetime:
    """Calls ``setup`` and ``close`` of *plugin*, from whatever threads its hooks are called."""

    def __init__(self, plugin: Plugin[Any]) -> None:
        self._plugin = plugin
        self._begun = False
        self._closed = False
        self._error: BaseException | None = None
        self._one_at_a_time = threading.Lock()
        self._at_work = 0
        self._counting = threading.Lock()
        self.limits = Limits()

    @property
    def is_open(self) -> bool:
        """Whether ``close`` is to be called."""
        is_set_up = self._begun and self._error is None
        return is_set_up and not self._closed and type(self._plugin).close is not Plugin.close

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Count a call of the plugin as long as it takes."""
        with self._counting:
            self._at_work += 1
        try:
            yield
        finally:
            with self._counting:
                self._at_work -= 1

    def begin(self, setup: Callable[[], None], limits: Limits) -> None:
        """Call *setup* unless it was called before; every call raises its error.

        Other threads wait for the end of the first call. *limits* are those of the site. Raises ``LeftBehind`` when the
        work of this thread was left meanwhile, so that no hook begins late.
        """
        self.limits = limits
        with self._one_at_a_time:
            if not self._begun:
                self._begun = True
                if type(self._plugin).setup is not Plugin.setup:
                    try:
                        setup()
                    except BaseException as error:
                        self._error = error
                        raise
            if self._error is not None:
                raise self._error
        if (watch := current_watch()) is not None:
            watch.require_wanted()

    def end(self, label: str) -> bool:
        """Return whether ``close`` is to be called now: once, after a hook was called.

        A plugin that was left behind at work is not closed: few libraries survive it.
        """
        if not self.is_open:
            return False
        self._closed = True
        if self._at_work:
            log.warning("'%s' is not closed, since it is still at work", label)
        return not self._at_work


class Closable(Protocol):
    """The plugin of one step, which has to be closed."""

    @property
    def label(self) -> str: ...
    @property
    def lifetime(self) -> Lifetime: ...
    def close(self) -> None: ...


def close_all(steps: Iterable[Closable], seconds_left: Callable[[], float] = lambda: math.inf) -> None:
    """Close the plugins of *steps* at the same time.

    Those past their deadline are left behind, and all of them once *seconds_left* returns no more seconds.
    """
    work = {number: [step] for number, step in enumerate(steps) if step.lifetime.is_open}
    for done in side_by_side(work, _close, late_error=lambda _: TimeoutError(), seconds_left=seconds_left):
        if done.error is not None:
            log.warning("'%s' could not be closed: it is left behind", done.item.label)


def _close(step: Closable) -> None:
    step.close()


def made_store(label: str, make: Callable[[], T], limits: Limits) -> T:
    """Return the store that *make* makes within the time of ``setup``.

    Code of its plugin runs then, and that may wait for a server. Raises ``StoreFailed`` for the store *label*.
    """

    def late() -> ImageportError:
        error = error_after("setup", limits, StoreFailed)
        error.store = label
        return error

    return within(Call(DEADLINES["setup"].seconds(limits), late), make)
