"""Measure one program: time on the clock and of processors, memory, and bytes written to disk."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

#: Unit of ``ru_oublock``, see getrusage(2) and task_io_accounting in the kernel.
_BLOCK = 512


class BenchFailed(Exception):
    """A program that is measured has failed; what it did not do is not to be compared."""


@dataclass(frozen=True)
class Cost:
    """The cost of one run: *seconds* and *cpu_seconds*, *peak_rss* and *written* in bytes."""

    seconds: float
    cpu_seconds: float = 0.0
    peak_rss: int = 0
    written: int = 0

    @classmethod
    def together(cls, costs: Sequence[Cost]) -> Cost:
        """Return the cost of what has run at the same time; of the memory, that of the largest."""
        return cls(
            seconds=max(cost.seconds for cost in costs),
            cpu_seconds=sum(cost.cpu_seconds for cost in costs),
            peak_rss=max(cost.peak_rss for cost in costs),
            written=sum(cost.written for cost in costs),
        )


@dataclass(frozen=True)
class Sample:
    """What the runs of one program have cost."""

    costs: Sequence[Cost]

    @property
    def seconds(self) -> float:
        """The median."""
        return median(cost.seconds for cost in self.costs)

    @property
    def spread(self) -> tuple[float, float]:
        """The fastest and the slowest run."""
        return min(cost.seconds for cost in self.costs), max(cost.seconds for cost in self.costs)

    @property
    def peak_rss(self) -> int:
        """The most that any run has taken."""
        return max(cost.peak_rss for cost in self.costs)

    @property
    def written(self) -> int:
        """The most that any run has written."""
        return max(cost.written for cost in self.costs)

    def as_dict(self) -> dict[str, object]:
        """Return everything, for JSON."""
        return {"median": self.seconds, "runs": [vars(cost) for cost in self.costs]}


def measure(
    command: Sequence[str | Path],
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    code: int = 0,
) -> Cost:
    """Run *command* in *folder* to its end and return its cost, that of programs it runs included.

    Raises ``BenchFailed`` with what it printed when its exit code is not *code*.
    """
    with tempfile.TemporaryFile() as output:
        started = time.monotonic()
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != code:
            output.seek(0)
            printed = output.read().decode(errors="replace")[-4000:]
            raise BenchFailed(f"{' '.join(map(str, command))}: exit code {process.returncode}\n{printed}")
    return Cost(
        seconds=seconds,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        peak_rss=usage.ru_maxrss << 10,
        written=usage.ru_oublock * _BLOCK,
    )
