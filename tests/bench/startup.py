"""Compares small commands of this checkout with those of another commit: ``python -m tests.bench.startup COMMIT``.

Both run by turns with the same interpreter and libraries, so that what disturbs the machine disturbs both.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from tests.bench.measuring import Cost, measure

REPOSITORY = Path(__file__).parents[2]
SMALL = 1 << 20

#: The commands by the names under which they are reported.
COMMANDS: Mapping[str, Sequence[str]] = {
    "imageport --version": ["--version"],
    "imageport plugins list": ["plugins", "list"],
    "imageport images list": ["images", "list"],
    "imageport run, 1 MiB to one store": ["run", "--quiet", "--disk-format", "raw", "small.yaml", "disk.raw"],
}


def prepare(folder: Path) -> None:
    """Put into *folder* what the commands work with."""
    (folder / "disk.raw").write_bytes(os.urandom(SMALL))
    (folder / "small.yaml").write_text("name: small\nsource: {use: glance-direct}\n")


def compare(before: Path, after: Path, rounds: int) -> dict[str, tuple[list[Cost], list[Cost]]]:
    """Return the costs of each command with the sources in *before* and in *after*, after one round that warms up."""
    found: dict[str, tuple[list[Cost], list[Cost]]] = {name: ([], []) for name in COMMANDS}
    with tempfile.TemporaryDirectory() as scratch:
        homes = [Path(scratch) / "before", Path(scratch) / "after"]
        for home in homes:
            home.mkdir()
            prepare(home)
        for number in range(rounds + 1):
            for name, arguments in COMMANDS.items():
                for home, sources, costs in zip(homes, (before, after), found[name], strict=True):
                    path = os.pathsep.join(str(sources / part) for part in ("core", "builtin_plugins"))
                    environment = {"HOME": str(home), "PATH": os.defpath, "PYTHONPATH": path}
                    command = [sys.executable, "-P", "-m", "imageport", *arguments]
                    cost = measure(command, home, environment=environment)
                    if number:
                        costs.append(cost)
    return found


def report(found: Mapping[str, tuple[Sequence[Cost], Sequence[Cost]]]) -> str:
    """Return medians and ratios as a table: time on the clock, and of processors."""
    lines = ["| command | before | after | ratio | processor, before | after | ratio |", "|" + 7 * "---|"]
    for name, (before, after) in found.items():
        cells = [name]
        for times in (lambda cost: cost.seconds, lambda cost: cost.cpu_seconds):
            old, new = median(map(times, before)), median(map(times, after))
            cells += [f"{old * 1000:.0f} ms", f"{new * 1000:.0f} ms", f"{new / old:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Compare this checkout with the commit on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.startup", description=__doc__)
    parser.add_argument("commit", help="the commit to compare with")
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    archive = subprocess.run(
        ["git", "archive", options.commit, "core", "builtin_plugins"],
        cwd=REPOSITORY, check=True, capture_output=True,
    ).stdout  # fmt: skip
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(archive)) as sources:
        sources.extractall(folder, filter="data")
        print(report(compare(Path(folder), REPOSITORY, options.rounds)))


if __name__ == "__main__":
    main()
