"""Events go to every observer; no observer can stop an import."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from imageport.plugins.binding import BoundStep
from imageport.values import Event

if TYPE_CHECKING:
    from imageport.context import Context

log = logging.getLogger(__name__)

#: An observer that failed this often is not called again.
PATIENCE = 3

#: Seconds between two progress events of one lane.
PROGRESS_INTERVAL = 0.2


class Observers:
    """The observers of one import. Events may come from any thread; observers hear them one at a time."""

    def __init__(self, steps: Sequence[BoundStep]) -> None:
        self._steps = [step for step in steps if "on_progress" in step.answers]
        self._failures = dict.fromkeys(range(len(self._steps)), 0)
        self._told: dict[str | None, float] = {}
        self._one_at_a_time = threading.RLock()

    def emit(self, event: Event, ctx: Context) -> None:
        """Show *event* to everybody who still listens."""
        with self._one_at_a_time:
            if event.kind == "progress" and self._too_soon(event):
                return
            for number, step in enumerate(self._steps):
                if self._failures[number] >= PATIENCE:
                    continue
                try:
                    step.on_progress(event, ctx.for_step(step.label))
                except (Exception, SystemExit) as error:  # noqa: BLE001 - the import goes on
                    self._failures[number] += 1
                    muted = "; it is not called again" if self._failures[number] == PATIENCE else ""
                    log.warning(
                        "observer '%s' (%s) failed on %s: %s: %s%s",
                        step.label, step.distribution, event.kind, type(error).__name__, error, muted,
                    )  # fmt: skip

    def _too_soon(self, event: Event) -> bool:
        if event.done != event.total and event.at - self._told.get(event.lane, 0.0) < PROGRESS_INTERVAL:
            return True
        self._told[event.lane] = event.at
        return False
