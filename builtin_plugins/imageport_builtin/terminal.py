"""Show on a terminal how the data flows."""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imageport import Event, NoConfig, Plugin, format_size, hookimpl, printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

#: Times a second that the display is drawn anew.
_REFRESH = 4

#: Below this many columns there is room for names and numbers only.
_NARROW = 80


@dataclass
class _Lane:
    """The bytes of one step or store; ``samples`` are the latest moments and byte counts."""

    name: str
    done: int = 0
    total: int | None = None
    note: str = ""
    samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=50))

    @property
    def complete(self) -> bool:
        return self.done == self.total

    def move(self, event: Event) -> None:
        self.done, self.total = event.done or 0, event.total
        self.samples.append((event.at, self.done))

    def rate(self) -> float:
        """Return bytes a second lately; a lane that stands still slows down to nothing."""
        if len(self.samples) < 2:
            return 0.0
        (start, before), (end, after) = self.samples[0], self.samples[-1]
        seconds = (end if self.complete else time.time()) - start
        return (after - before) / seconds if seconds > 0 else 0.0


class Terminal(Plugin[NoConfig]):
    """Show a lane for each step and store on standard error: bytes, rate, time left, and what is slowest.

    Does nothing where standard error is no terminal.
    """

    stability = "stable"

    def __init__(self, config: NoConfig) -> None:
        super().__init__(config)
        self._lanes: dict[str, _Lane] = {}
        self._slowest = ""
        self._live: Live | None = None

    @hookimpl
    def on_progress(self, event: Event) -> None:
        """Move the lane of *event*, or begin or end the display."""
        match event.kind:
            case "task.processing":
                self._begin()
            case "step.start" if event.step:
                self._lanes.setdefault(event.step, _Lane(event.step))
            case "step.end" if event.step and not self._lanes[event.step].samples:
                # Most steps only prepare a stream: their lane comes back with its first byte.
                del self._lanes[event.step]
            case "progress" if event.lane:
                self._lanes.setdefault(event.lane, _Lane(event.lane)).move(event)
                if event.store:
                    self._slowest = event.waits or "the source"
            case "image.upload" if event.store in self._lanes:
                self._lanes[event.store].note = "failed" if event.error else "published"
            case "report":
                self._end()

    def _begin(self) -> None:
        from rich.console import Console
        from rich.live import Live

        if sys.stderr.isatty():
            self._live = Live(
                get_renderable=self._render,
                console=Console(stderr=True),
                refresh_per_second=_REFRESH,
                transient=True,
            )
            self._live.start()

    def _end(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _render(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        narrow = self._live is not None and self._live.console.width < _NARROW
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=14 if narrow else 24)
        if not narrow:
            # The bar is what gives way where the numbers need the room.
            table.add_column(max_width=24)
        for _ in range(2 if narrow else 3):
            table.add_column(justify="right", no_wrap=True)
        for lane in list(self._lanes.values()):
            bar = ProgressBar(
                # Without a total the bar pulses over its whole width, which nothing done must not look like.
                total=lane.total if lane.done else 1,
                completed=lane.done,
                animation_time=time.monotonic(),
            )
            numbers = [_amount(lane), f"{format_size(lane.rate())}/s"] + ([] if narrow else [_left(lane)])
            cells: list[RenderableType] = [Text(printable(lane.name))]
            table.add_row(*cells, *([] if narrow else [bar]), *map(Text, numbers))
        return Group(table, Text(f"slowest now: {printable(self._slowest)}" if self._slowest else ""))


def _amount(lane: _Lane) -> str:
    total = "" if lane.total is None or lane.complete else f" of {format_size(lane.total)}"
    return f"{format_size(lane.done)}{total}"


def _left(lane: _Lane) -> str:
    if lane.note or lane.complete:
        return lane.note or "done"
    rate = lane.rate()
    if lane.total is None or not rate:
        return ""
    minutes, seconds = divmod(int((lane.total - lane.done) / rate), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02} left" if hours else f"{minutes}:{seconds:02} left"
