"""Ask plugins for their findings, side by side, and survive their errors and those that do not answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imageport.deadlines import DEADLINES
from imageport.errors import ImageportError, ImportFailed, StepCrashed
from imageport.limits import Limits
from imageport.text import printable
from imageport.values import Finding
from imageport.watched_calls import side_by_side


@dataclass(frozen=True, slots=True)
class Examination:
    """The question to one plugin, by name."""

    name: str
    ask: Callable[[], Sequence[Finding]]


def examine(examinations: Sequence[Examination], limits: Limits) -> list[list[Finding]]:
    """Return the findings of all, in their order; together they take no longer than one may take.

    That a plugin fails, or does not answer, is a finding, too. Each text is of one line.
    """
    seconds = DEADLINES["diagnose"].seconds(limits)
    ends = time.monotonic() + seconds

    def late(number: int) -> ImportFailed:
        return ImportFailed(
            f"{examinations[number].name} does not answer within {seconds:g} s",
            hint="check that the servers and paths in its options can be reached",
        )

    answers: list[list[Finding]] = [[] for _ in examinations]
    work = {number: [(number, examination.ask)] for number, examination in enumerate(examinations)}
    for done in side_by_side(work, _ask, late_error=late, seconds_left=lambda: ends - time.monotonic()):
        number = done.item[0]
        found = [_fault(done.error)] if done.error is not None else done.result or []
        answers[number] = [_plain(finding) for finding in found]
    return answers


def _ask(item: tuple[int, Callable[[], Sequence[Finding]]]) -> list[Finding]:
    return list(item[1]())


def _fault(error: BaseException) -> Finding:
    if not isinstance(error, ImageportError):
        error = StepCrashed(f"{type(error).__name__} in diagnose: {error}")
    return Finding("error", error.message, error.hint)


def _plain(finding: Finding) -> Finding:
    return Finding(finding.severity, printable(finding.message), printable(finding.hint), finding.free)
