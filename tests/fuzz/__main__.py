"""Compare the readers of hostile files with reference tools, on inputs that are generated and damaged at random.

Wrong is: other bytes than a reference tool finds; accepting what it refuses; refusing a whole file; an error that is
none of Imageport; too much memory or time. Ends with 1 when something is wrong.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import secrets
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tests.fuzz.running import TARGETS, Finding, Tally, fuzz, limit_memory

#: Seconds that one turn of a target takes.
_TURN = 30.0
#: Turns of one target begin so many cases from each other, so that none is tried twice.
_FAR = 1_000_000


def main() -> int:
    """Fuzz what the arguments name and print what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument(
        "targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; all of them unless given"
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="how long, in all")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1 << 32), help="decides everything")
    parser.add_argument("--case", type=int, help="only the case of this number")
    parser.add_argument("--keep", type=Path, help="folder for the inputs for which something is wrong")
    options = parser.parse_args()
    targets = options.targets or list(TARGETS)
    if unknown := set(targets) - TARGETS.keys():
        parser.error(f"no such target: {', '.join(unknown)}")
    print(f"seed {options.seed}", flush=True)
    if options.case is not None:
        limit_memory()
        tallies = [(name, fuzz(name, seed=options.seed, cases=1, first=options.case)) for name in targets]
        for _, tally in tallies:
            _show(tally)
    else:
        tallies = _in_turns(targets, options.seed, options.minutes * 60)
    findings = [finding for _, tally in tallies for finding in tally.findings]
    for name in targets:
        mine = [tally for each, tally in tallies if each == name]
        tried, accepted = (sum(getattr(tally, what) for tally in mine) for what in ("tried", "accepted"))
        wrong = sum(len(tally.findings) for tally in mine)
        print(f"{name:6} {tried:7} tried {accepted:7} accepted {wrong:5} wrong")
    if options.keep and findings:
        _keep(findings, options.keep)
    return 1 if findings else 0


def _in_turns(targets: list[str], seed: int, seconds: float) -> list[tuple[str, Tally]]:
    """Give each target the same time, on all processors, in short turns."""
    workers = len(os.sched_getaffinity(0))
    rounds = max(1, round(seconds * workers / _TURN / len(targets)))
    turn = seconds * workers / rounds / len(targets)
    done = []
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), limit_memory) as pool:
        turns = {
            pool.submit(fuzz, name, seed=seed, seconds=turn, first=number * _FAR): name
            for number in range(rounds)
            for name in targets
        }
        for future in as_completed(turns):
            tally = future.result()
            _show(tally)
            done.append((turns[future], tally))
    return done


def _show(tally: Tally) -> None:
    for finding in tally.findings:
        print(finding, flush=True)


def _keep(findings: list[Finding], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for finding in findings:
        path = folder / f"{finding.target}-{finding.seed}-{finding.number}"
        path.write_bytes(finding.data)
        path.with_suffix(".txt").write_text(f"{finding}\n")
    print(f"the inputs are in {folder}")


if __name__ == "__main__":
    sys.exit(main())
