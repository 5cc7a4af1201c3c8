"""Show on a terminal how the data flows."""

from __future__ import annotations

import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imageport import Event, NoConfig, Plugin, hookimpl
from imageport.events import ProgressEvent
from imageport.limits import format_size
from imageport.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

#: Times a second that the display is drawn anew.
_REFRESH = 4

#: Columns from which on there is room for bars beside the numbers, and for the time that is left.
_FOR_BARS = 80
_FOR_TIMES = 60


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

    def move(self, event: ProgressEvent) -> None:
        if event.done < self.done:
            # Something is read once more, or another file is put in staging.
            self.samples.clear()
        self.done, self.total = event.done, event.total
        self.samples.append((event.at, self.done))

    def rate(self) -> float:
        """Return bytes a second lately; a lane that stands still slows down to nothing."""
        if len(self.samples) < 2:
            return 0.0
        (start, before), (end, after) = self.samples[0], self.samples[-1]
        seconds = (end if self.complete else time.time()) - start
        return (after - before) / seconds if seconds > 0 else 0.0


class Terminal(Plugin[NoConfig]):
    """Show a lane for each step and store, and one for the digests, on standard error.

    With bytes, rate and time left of each, and the slowest part: the source, a step, a digest or a store.
    Does nothing where standard error is not a terminal.
    """

    stability = "stable"

    def __init__(self, config: NoConfig) -> None:
        super().__init__(config)
        self._lanes: dict[str, _Lane] = {}
        self._source = ""
        self._stores: set[str] = set()
        self._slowest = ""
        self._is_written = False
        self._live: Live | None = None

    @hookimpl
    def on_progress(self, event: Event) -> None:
        """Move the lane of *event*, or begin or end the display."""
        match event.kind:
            case "task.processing":
                self._begin()
            case "step.start":
                self._lanes.setdefault(event.step, _Lane(event.step))
                if event.message == "stage":
                    self._source = event.step
            case "step.end" if event.step in self._lanes and not self._lanes[event.step].samples:
                # Most steps only prepare a stream: their lane comes back with its first byte.
                del self._lanes[event.step]
            case "progress":
                if event.store:
                    self._stores.add(event.store)
                self._lanes.setdefault(event.lane, _Lane(event.lane)).move(event)
                self._note_slowest(event)
            case "image.upload" if event.store in self._lanes:
                self._lanes[event.store].note = "failed" if event.error else "published"
            case "report":
                self._end()

    def _note_slowest(self, event: ProgressEvent) -> None:
        if event.store or event.lane == "digests":
            self._is_written = True
            self._slowest = self._in_words(event.waits)
        elif not self._is_written and event.lane != "staging":
            # A step that sends progress works on a file, while no other step runs.
            self._slowest = self._in_words(event.waits or event.lane)

    def _in_words(self, waits: str | None) -> str:
        if waits in (None, self._source):
            return f"the source ({self._source})" if self._source else "the source"
        if waits == "inspection":
            return "the inspection"
        kind = "store" if waits in self._stores else "step" if waits in self._lanes else "digest"
        return f"{kind} {waits}"

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

        width = self._live.console.width if self._live is not None else _FOR_BARS
        bars, times = width >= _FOR_BARS, width >= _FOR_TIMES
        table = Table.grid(padding=(0, 2))
        # Where the numbers need the room, the bar is what gives way, or without it the name.
        table.add_column(no_wrap=bars, overflow="ellipsis", max_width=24 if bars else 12)
        if bars:
            table.add_column(max_width=24)
        for _ in range(3 if times else 2):
            table.add_column(justify="right", no_wrap=True)
        for lane in list(self._lanes.values()):
            # Without a total there is nothing that a bar could be part of.
            bar = ProgressBar(total=lane.total, completed=lane.done) if lane.total else Text("")
            numbers = [_amount(lane), f"{format_size(lane.rate())}/s"] + ([_left(lane)] if times else [])
            cells: list[RenderableType] = [Text(printable(lane.name))]
            table.add_row(*cells, *([bar] if bars else []), *map(Text, numbers))
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
    if hours >= 100:
        return "days left"
    return f"{hours}:{minutes:02}:{seconds:02} left" if hours else f"{minutes}:{seconds:02} left"
