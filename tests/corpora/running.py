"""Import many files in several processes, and count the verdicts."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from tests.corpora.contents import disk
from tests.corpora.damage import damaged, damaged_count
from tests.corpora.outcomes import Importer
from tests.corpora.reference import expected
from tests.corpora.variants import Variant, raw_file, variants
from tests.corpora.verdicts import Verdict, judge, judge_damaged, judge_variant

JobT = TypeVar("JobT")
ResultT = TypeVar("ResultT")


@dataclass(frozen=True)
class Finding:
    """The verdict on one file."""

    name: str
    verdict: Verdict
    reason: str


@dataclass
class Tally:
    """The verdicts of a run."""

    counts: Counter[Verdict]
    wrong: list[Finding]

    def __str__(self) -> str:
        return ", ".join(f"{self.counts[verdict]} {verdict.value}" for verdict in Verdict)


def run_folder(folder: Path, show: Callable[[Finding], None]) -> Tally:
    """Import every file below *folder*, and compare with the reference tools."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return _tally(_in_processes(_judge_file, files), show)


def run_generated(most: int | None, show: Callable[[Finding], None], *, seed: int) -> Tally:
    """Import every variant of the generated disk intact, and damaged copies of one of each family.

    With *most* only so many files are imported, evenly taken from all.
    """
    whole = list(_jobs(seed))
    count = sum(len(job.copies) for job in whole)
    step = max(1.0, count / (most or count))
    wanted = {int(number * step) for number in range(int(count / step))}
    first = 0
    jobs = []
    for job in whole:
        copies = tuple(copy for copy in job.copies if first + copy in wanted)
        first += len(job.copies)
        if copies:
            jobs.append(replace(job, copies=copies))
    findings = (finding for found in _in_processes(_judge_copies, jobs) for finding in found)
    return _tally(findings, show)


@dataclass(frozen=True)
class _Job:
    """Copies of one variant: number 0 is intact, the others are damaged as ``damaged`` does with ``seed``."""

    variant: str
    seed: int
    copies: tuple[int, ...]


def _jobs(seed: int) -> Iterator[_Job]:
    damaged_families = {"raw"}
    for variant in variants():
        count = 0
        if variant.supported and variant.family not in damaged_families:
            damaged_families.add(variant.family)
            count = damaged_count(_flips(variant))
        yield _Job(variant.name, seed, tuple(range(count + 1)))


def _flips(variant: Variant) -> int:
    """Change more bytes of disk formats: their tables lie anywhere."""
    return 24 if variant.family in ("qcow2", "vmdk", "vdi", "vpc", "vhdx") else 12


def _in_processes(judge_one: Callable[[JobT], ResultT], jobs: Iterable[JobT]) -> Iterator[ResultT]:
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(judge_one, jobs)


def _tally(findings: Iterable[Finding], show: Callable[[Finding], None]) -> Tally:
    tally = Tally(Counter(), [])
    for finding in findings:
        tally.counts[finding.verdict] += 1
        if finding.verdict is Verdict.WRONG:
            tally.wrong.append(finding)
        show(finding)
    return tally


def _judge_file(path: Path) -> Finding:
    with tempfile.TemporaryDirectory() as work, Importer() as importer:
        verdict, reason = judge(importer.bring(path), expected(path, Path(work)))
    return Finding(str(path), verdict, reason)


def _judge_copies(job: _Job) -> list[Finding]:
    variant = next(variant for variant in variants() if variant.name == job.variant)
    truth = hashlib.sha256(disk()).hexdigest()
    findings = []
    with tempfile.TemporaryDirectory() as name, Importer() as importer:
        folder = Path(name)
        path = folder / "image"
        variant.make(raw_file(folder), path)
        copies = enumerate(damaged(path.read_bytes(), seed=job.seed, flips=_flips(variant)), start=1)
        if 0 in job.copies:
            verdict, reason = judge_variant(importer.bring(path), variant, truth)
            findings.append(Finding(variant.name, verdict, reason))
        for number, (how, changed) in copies:
            if number in job.copies:
                path.write_bytes(changed)
                verdict, reason = _judge_damaged(path, importer, truth)
                findings.append(Finding(f"{variant.name} {how}", verdict, reason))
    return findings


def _judge_damaged(path: Path, importer: Importer, truth: str) -> tuple[Verdict, str]:
    outcome = importer.bring(path)
    expectation = None
    if outcome.digest not in (None, truth):
        with tempfile.TemporaryDirectory() as work:
            expectation = expected(path, Path(work))
    return judge_damaged(outcome, expectation, truth)
