"""Ask plugins for their findings, side by side, and survive their errors and those that do not answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from imageport.errors import ImageportError, StepCrashed
from imageport.text import printable
from imageport.values import Finding

#: Seconds that a plugin has for all of its findings.
DEADLINE: Final = 10.0


@dataclass(eq=False)
class Examination:
    """The question to one plugin, by name, and its findings; that it fails, or does not answer, is a finding, too."""

    name: str
    ask: Callable[[], Sequence[Finding]]
    _answer: list[Finding] | None = field(default=None, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def start(self) -> None:
        """Ask in a thread, which may have to be left behind: a server may not answer."""
        self._thread = threading.Thread(target=self._run, name=f"diagnose {self.name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._answer = list(self.ask())
        except ImageportError as error:
            self._answer = [Finding("error", error.message, error.hint)]
        except BaseException as error:  # noqa: BLE001 - nothing that a plugin raises may end the command
            crash = StepCrashed(f"{type(error).__name__} in diagnose: {error}")
            self._answer = [Finding("error", crash.message, crash.hint)]

    def findings(self, timeout: float) -> list[Finding]:
        """Return the findings after at most *timeout* seconds; their texts are of one line."""
        if self._thread is not None:
            self._thread.join(timeout)
        if self._answer is None:
            return [
                Finding(
                    "error",
                    f"{self.name} does not answer within {DEADLINE:g} s",
                    "check that the servers and paths in its options can be reached",
                )
            ]
        return [
            Finding(found.severity, printable(found.message), printable(found.hint), found.free)
            for found in self._answer
        ]


def examine(examinations: Sequence[Examination]) -> list[list[Finding]]:
    """Return the findings of all, in their order; together they take no longer than one may take."""
    for examination in examinations:
        examination.start()
    ends = time.monotonic() + DEADLINE
    return [examination.findings(max(0.0, ends - time.monotonic())) for examination in examinations]
