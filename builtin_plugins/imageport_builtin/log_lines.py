"""Report the events of an import, one line for each."""

from __future__ import annotations

import sys
from datetime import datetime

from pydantic import Field

from imageport import Event, Plugin, PluginConfig, hookimpl
from imageport.limits import format_size
from imageport.text import printable


class LogLinesConfig(PluginConfig):
    """Options of the log."""

    interval: float = Field(
        default=10.0, ge=0, description="Seconds between two lines about one lane's bytes."
    )


class LogLines(Plugin[LogLinesConfig]):
    """Write a line with a time stamp to standard error for each important event.

    For logs and pipes, where a moving display would be noise. Progress of a step or store is written at most once in
    ``interval`` seconds.
    """

    stability = "stable"

    def __init__(self, config: LogLinesConfig) -> None:
        super().__init__(config)
        self._reported: dict[str, float] = {}

    @hookimpl
    def on_progress(self, event: Event) -> None:
        """Write the line of *event*, if it has one."""
        if event.kind == "progress" and not self._is_due(event.lane, event.at):
            return
        if line := _line(event):
            stamp = datetime.fromtimestamp(event.at).astimezone().isoformat(sep=" ", timespec="seconds")
            sys.stderr.write(f"{stamp} {printable(line)}\n")
            sys.stderr.flush()

    def _is_due(self, lane: str, at: float) -> bool:
        # The first event of a lane starts its clock: quick imports need no progress at all.
        if at - self._reported.setdefault(lane, at) < self.config.interval:
            return False
        self._reported[lane] = at
        return True


def _line(event: Event) -> str | None:
    match event.kind:
        case "task.processing":
            return f"task {event.task_id}: importing image {event.image_id}"
        case "step.start":
            return f"{event.step}: {event.message}"
        case "progress":
            total = f" of {format_size(event.total)}" if event.total is not None else ""
            slowed = f", slowed down by {event.waits}" if event.waits else ""
            return f"{event.lane}: {format_size(event.done)}{total}{slowed}"
        case "check":
            return f"{event.step}: {event.message} {event.verdict}"
        case "image.upload":
            return f"store {event.store}: {f'failed: {event.error}' if event.error else 'published'}"
        case "task.success":
            return f"task {event.task_id}: success"
        case "task.failure":
            return f"task {event.task_id}: failed: {event.error}"
    return None
