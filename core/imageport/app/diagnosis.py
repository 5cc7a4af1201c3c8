"""Ask a plugin for its findings for ``imageport doctor``, and survive its errors."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Literal

from imageport.configuration.resolution import ConfiguredStep
from imageport.errors import ImageportError, StepCrashed
from imageport.importing.plan import bind
from imageport.plugins.binding import StepContexts
from imageport.redaction import redact
from imageport.text import printable
from imageport.values import Finding

#: Seconds that a plugin has for all of its findings.
DEADLINE = 10.0


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


def diagnose(entry: ConfiguredStep, ctx: StepContexts, secrets: Collection[str]) -> Iterator[Diagnosis]:
    """Yield the findings of the plugin of *entry* without *secrets*; that it has none, or fails, is a finding, too."""
    for finding in _findings(entry, ctx):
        yield Diagnosis(
            f"{entry.role} {entry.label}",
            finding.severity,
            redact(printable(finding.message), secrets),
            redact(printable(finding.hint), secrets),
        )


def _findings(entry: ConfiguredStep, ctx: StepContexts) -> Sequence[Finding]:
    installed = entry.installed
    findings: list[Finding] = []
    failures: list[ImageportError] = []

    def ask() -> None:
        try:
            with closing(bind(entry)) as step:
                findings.extend(step.diagnose(ctx))
        except ImageportError as error:
            failures.append(error)
        except BaseException as error:  # noqa: BLE001 - nothing that a plugin raises may end the command
            failures.append(StepCrashed(f"{type(error).__name__} in diagnose: {error}"))

    # The thread may have to be left behind: a folder may be on a server that does not answer.
    thread = threading.Thread(target=ask, name=f"diagnose {entry.label}", daemon=True)
    thread.start()
    thread.join(DEADLINE)
    if failures:
        return [Finding("error", failures[0].message, failures[0].hint)]
    if thread.is_alive():
        return [
            Finding(
                "error",
                f"{installed.name} of {installed.distribution} does not answer within {DEADLINE:g} s",
                "check that the servers and paths in its options can be reached",
            )
        ]
    return findings or [Finding("ok", f"{installed.name} of {installed.distribution}")]
