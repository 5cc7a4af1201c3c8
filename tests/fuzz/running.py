"""Try cases of one format until the time is over, and collect what is wrong."""

from __future__ import annotations

import itertools
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.fuzz.case import Case, Outcome, Target
from tests.fuzz.frames import Frames
from tests.fuzz.lhas import Lhas
from tests.fuzz.lists import Lists
from tests.fuzz.tars import Tars
from tests.fuzz.unpacking import forked_decoders
from tests.fuzz.zips import Zips

TARGETS: dict[str, Callable[[Path], Target]] = {
    "tar": Tars,
    "zip": Zips,
    "lha": Lhas,
    "list": Lists,
    **{name: partial(Frames, name) for name in ("gzip", "xz", "bzip2", "zstd")},
}

#: What a case may take: seconds of the processor, and bytes of memory beyond what the process had before.
_SECONDS = 15.0
_MEMORY = 200 << 20
#: Bytes at which a process gives up, before the machine does.
_MOST_MEMORY = 2 << 30


@dataclass(frozen=True)
class Finding:
    """A case for which something is wrong. Its *number* and the seed make it again."""

    target: str
    seed: int
    number: int
    data: bytes
    what: str

    def __str__(self) -> str:
        return f"{self.target}: seed {self.seed}, case {self.number}: {self.what}"


@dataclass
class Tally:
    """How many cases were tried, how many of them both sides accepted, and what is wrong."""

    tried: int = 0
    accepted: int = 0
    findings: list[Finding] = field(default_factory=list)


def limit_memory() -> None:
    """Let this process give up before the machine does."""
    resource.setrlimit(resource.RLIMIT_DATA, (_MOST_MEMORY, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def case_of(target: Target, seed: int, number: int) -> Case:
    """Return one case; the same arguments give the same."""
    return target.make(random.Random(f"{seed} {target.name} {number}"))


def fuzz(
    name: str, *, seed: int, seconds: float | None = None, cases: int | None = None, first: int = 0
) -> Tally:
    """Try cases of the target *name* from number *first* on, for some *seconds* or a number of *cases*."""
    tally = Tally()
    give_up = None if seconds is None else time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder, forked_decoders():
        target = TARGETS[name](Path(folder))
        for number in itertools.count(first):
            if number - first == cases or (give_up is not None and time.monotonic() > give_up):
                return tally
            case = case_of(target, seed, number)
            tally.tried += 1
            for what in _wrong(target, case, tally):
                tally.findings.append(Finding(name, seed, number, case.data, what))
    raise AssertionError("unreachable")


def _wrong(target: Target, case: Case, tally: Tally) -> Iterator[str]:
    seconds, memory = time.process_time(), _peak()
    try:
        ours = target.ours(case)
    except Exception as error:  # noqa: BLE001 - that there is none is what is tested
        yield f"raises {type(error).__name__}: {error}"
        return
    if (spent := time.process_time() - seconds) > _SECONDS:
        yield f"takes {spent:.0f} s of the processor"
    if (more := _peak() - memory) > _MEMORY:
        yield f"takes {more >> 20} MiB"
    if case.content is not None and ours.content != case.content:
        yield f"a whole file is not read: {ours.reason or 'other bytes come out'}"
    if ours.content is None:
        return
    tally.accepted += 1
    with tempfile.TemporaryDirectory() as folder:
        for program, outcome in target.references(case, Path(folder)):
            if outcome.content != ours.content and not target.justified(case, program, outcome):
                yield f"accepted, and {program} {_difference(outcome, ours.content)}"


def _difference(outcome: Outcome, ours: bytes) -> str:
    if outcome.content is None:
        return f"refuses it: {outcome.reason}"
    return f"has other content: {len(outcome.content)} bytes, not {len(ours)}"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
