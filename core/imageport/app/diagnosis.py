"""Ask a plugin for its findings for ``imageport doctor``, and survive its errors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from imageport.configuration.resolution import ConfiguredStep
from imageport.importing.plan import bind
from imageport.plugins.binding import StepContexts
from imageport.plugins.examination import Examination, examine
from imageport.redaction import redact
from imageport.values import Finding


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """One thing that was examined, its state, and the remedy. An ``error`` makes imports fail."""

    subject: str
    severity: Literal["ok", "warning", "error"]
    message: str
    hint: str = ""

    @property
    def ok(self) -> bool:
        """Whether imports can use it."""
        return self.severity != "error"

    def as_dict(self) -> dict[str, Any]:
        """Return the fields and ``ok`` as plain values."""
        return {
            "subject": self.subject,
            "ok": self.ok,
            "severity": self.severity,
            "message": self.message,
            "hint": self.hint,
        }


def diagnose(
    entries: Sequence[ConfiguredStep], ctx: StepContexts, secrets: Collection[str]
) -> Iterator[Diagnosis]:
    """Yield the findings of the plugins of *entries* without *secrets*; that one has none is a finding, too.

    All are asked side by side.
    """
    # A plugin is made in the thread that asks it: a folder may be on a server that does not answer.
    examinations = [Examination(_name(entry), partial(_findings, entry, ctx)) for entry in entries]
    limits = ctx.for_step("").limits
    for entry, findings in zip(entries, examine(examinations, limits), strict=True):
        for finding in findings or [Finding("ok", _name(entry))]:
            yield Diagnosis(
                f"{entry.role} {entry.label}",
                finding.severity,
                redact(finding.message, secrets),
                redact(finding.hint, secrets),
            )


def _findings(entry: ConfiguredStep, ctx: StepContexts) -> list[Finding]:
    with closing(bind(entry)) as step:
        return step.diagnose(ctx)


def _name(entry: ConfiguredStep) -> str:
    return f"{entry.installed.name} of {entry.installed.distribution}"
