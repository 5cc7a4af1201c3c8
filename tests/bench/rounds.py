"""Rounds over all that is measured, so that what disturbs the machine disturbs everything alike."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.measuring import BenchFailed, Cost
from tests.bench.results import Kind, Results


@dataclass(frozen=True)
class Job:
    """Something to measure in an empty folder, in so many of the *rounds*; it returns costs by their titles."""

    kind: Kind
    title: str
    run: Callable[[Path], Mapping[str, Cost]]
    rounds: int


def one(kind: Kind, title: str, run: Callable[[Path], Cost], rounds: int) -> Job:
    """Return a job with a single cost."""
    return Job(kind, title, lambda folder: {title: run(folder)}, rounds)


def go_round(jobs: Sequence[Job], rounds: int, folder: Path) -> Results:
    """Run *jobs*, the ones of every round once before the clock starts; each gets an empty folder below *folder*."""
    results = Results()
    for job in jobs:
        if job.rounds == rounds:
            _run(job, folder, Results(), "warm-up")
    for number in range(rounds):
        for index, job in enumerate(jobs):
            # Jobs of fewer rounds are spread over all of them.
            if (number + index) % rounds < job.rounds:
                _run(job, folder, results, f"round {number + 1}")
    return results


def _run(job: Job, folder: Path, results: Results, when: str) -> None:
    work = folder / "work"
    work.mkdir(parents=True)
    # What earlier jobs have left to write is not to be paid by this one.
    os.sync()
    try:
        for title, cost in job.run(work).items():
            results.costs[job.kind, title].append(cost)
            print(f"{when}: {job.kind}: {title}: {cost.seconds:.2f} s", file=sys.stderr)
    except BenchFailed as error:
        results.failures[job.kind, job.title] = str(error)
        print(f"{when}: {job.kind}: {job.title} has failed: {error}", file=sys.stderr)
    finally:
        shutil.rmtree(work)
