"""Results of measurements: samples by kind and title, failures, and the machine."""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tests.bench.measuring import Cost, Sample

Kind = Literal["imageport", "glance", "yardstick"]


@dataclass
class Results:
    """Costs by kind and title, and why runs have failed; Glance's may be *recorded*, on another machine."""

    costs: dict[tuple[Kind, str], list[Cost]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[tuple[Kind, str], str] = field(default_factory=dict)
    recorded: bool = False

    def sample(self, kind: Kind, title: str) -> Sample | None:
        """Return the sample, or None when nothing was measured or a run has failed."""
        costs = self.costs.get((kind, title))
        return None if not costs or (kind, title) in self.failures else Sample(costs)

    def seconds(self, kind: Kind, title: str) -> float:
        """Return the median; infinity where Imageport has failed, NaN where there is nothing to compare with."""
        if sample := self.sample(kind, title):
            return sample.seconds
        return math.inf if kind == "imageport" and (kind, title) in self.failures else math.nan

    def as_list(self) -> list[dict[str, Any]]:
        """Return all of it, for JSON."""
        measured = [
            {"kind": kind, "title": title, **Sample(costs).as_dict()}
            for (kind, title), costs in self.costs.items()
        ]
        failed = [
            {"kind": kind, "title": title, "failure": text} for (kind, title), text in self.failures.items()
        ]
        return measured + failed


def machine(folder: Path) -> Mapping[str, str]:
    """Return what the results depend on; *folder* is on the disk that is measured."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    command: list[str | Path] = ["df", "--output=fstype", folder]
    file_system = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1]
    return {
        "processors": f"{os.cpu_count()} x {names[0] if names else platform.machine()}",
        "memory": f"{memory / (1 << 30):.0f} GiB",
        "kernel": platform.release(),
        "file system": file_system,
        "Python": platform.python_version(),
    }
