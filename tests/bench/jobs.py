"""All that is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType

from tests.bench.crowd import CROWD, LISTED, search
from tests.bench.flows import (
    CONVERTED,
    COPIED,
    FLOWS,
    FROM_FILE,
    HUGE_1,
    HUGE_8,
    IMAGEPORT,
    UNPACKED,
    WEB_1,
    WEB_3,
    WEB_8,
    Flow,
    run_flow,
)
from tests.bench.glance import COMPARED, Glance
from tests.bench.inputs import Inputs
from tests.bench.many import commands_at_once, in_processes
from tests.bench.measuring import Cost, measure
from tests.bench.rounds import Job, one
from tests.bench.yardsticks import YARDSTICKS, run_yardstick

ONE_BY_ONE = "50 x 10 MiB, one after another in one process"
AT_ONCE = "20 x 10 MiB at once, a process each, on SQLite"
THREADS_AT_ONCE = "200 x 10 MiB at once, 50 in each of 4 processes, on SQLite"
FIRST = "1,000 x 10 MiB, one after another: the first 100"
LAST = "1,000 x 10 MiB, one after another: the last 100"
VERSION = "imageport --version"
PLUGINS = "imageport plugins list"

#: Seconds that Glance 33 took for 2 GiB on another machine, with 2 processors.
RECORDED: Mapping[str, float] = MappingProxyType(
    {
        WEB_1.title: 27.0,
        WEB_3.title: 56.0,
        CONVERTED.title: 52.0,
        UNPACKED.title: 23.0,
        COPIED.title: 38.0,
        FROM_FILE.title: 25.0,
        ONE_BY_ONE: 15.6,
    }
)


@dataclass(frozen=True)
class Bench:
    """The *inputs*, which *url* serves, and in how many *rounds* they are measured."""

    inputs: Inputs
    url: str
    rounds: int

    def jobs(self, glance: Glance | None, glance_rounds: int) -> list[Job]:
        """Return all jobs; those of Glance only when there is one."""
        return [
            *self._yardsticks(),
            *self._flows(),
            *(() if glance is None else self._glance(glance, glance_rounds)),
            *self._many(),
        ]

    def _yardsticks(self) -> list[Job]:
        return [
            one("yardstick", name, partial(run_yardstick, name, self.inputs, self.url), self.rounds)
            for name in YARDSTICKS
        ]

    def _flows(self) -> list[Job]:
        rounds = dict.fromkeys(FLOWS, self.rounds) | dict.fromkeys((WEB_8, HUGE_1, HUGE_8), 1)
        commands = {VERSION: ["--version"], PLUGINS: ["plugins", "list"]}
        return [
            *(
                one("imageport", flow.title, partial(run_flow, flow, self.inputs, self.url), number)
                for flow, number in rounds.items()
            ),
            *(
                one("imageport", title, partial(measure, [IMAGEPORT, *arguments]), self.rounds)
                for title, arguments in commands.items()
            ),
        ]

    def _many(self) -> list[Job]:
        def one_by_one(folder: Path) -> Cost:
            return Cost(sum(self._in_processes(folder, processes=1, count=50, at_once=1)))

        def in_threads(folder: Path) -> Cost:
            return Cost(max(self._in_processes(folder, processes=4, count=50, at_once=50)))

        def growing(folder: Path) -> Mapping[str, Cost]:
            seconds = self._in_processes(folder, processes=1, count=1000, at_once=1)
            return {FIRST: Cost(sum(seconds[:100])), LAST: Cost(sum(seconds[-100:]))}

        def commands(folder: Path) -> Cost:
            return Cost(commands_at_once(folder, self.inputs, self.url, 20))

        return [
            one("imageport", ONE_BY_ONE, one_by_one, self.rounds),
            one("imageport", AT_ONCE, commands, 1),
            one("imageport", THREADS_AT_ONCE, in_threads, 1),
            Job("imageport", LAST, growing, 1),
            Job("imageport", LISTED, lambda folder: search(folder, CROWD, self.rounds), 1),
        ]

    def _in_processes(self, folder: Path, *, processes: int, count: int, at_once: int) -> list[float]:
        return in_processes(folder, self.inputs, self.url, processes=processes, count=count, at_once=at_once)

    def _glance(self, glance: Glance, rounds: int) -> list[Job]:
        def small(count: int, folder: Path, *, at_once: bool) -> Cost:
            return glance.run_small(self.inputs, self.url, count, at_once=at_once)

        def run(flow: Flow, folder: Path) -> Cost:
            return glance.run(flow, self.inputs, self.url)

        return [
            *(one("glance", flow.title, partial(run, flow), rounds) for flow in COMPARED),
            one("glance", ONE_BY_ONE, partial(small, 50, at_once=False), rounds),
            one("glance", AT_ONCE, partial(small, 20, at_once=True), 1),
        ]
