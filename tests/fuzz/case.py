"""Define what a fuzzer of one format brings: inputs, our reader, and the reference tools."""

from __future__ import annotations

import random
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

#: Seconds and bytes after which a reference tool counts as refusing its input.
_PATIENCE = 20
_MOST = 32 << 20
_ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL": "C.UTF-8", "TZ": "UTC"}


@dataclass(frozen=True)
class Case:
    """An input, and the content that must come out of it; None where it may be damaged."""

    data: bytes
    content: bytes | None = None


@dataclass(frozen=True)
class Outcome:
    """The content that a reader found, or None and why it refused."""

    content: bytes | None
    reason: str = ""


class Target(Protocol):
    """A format to fuzz."""

    name: str

    def make(self, chance: random.Random) -> Case:
        """Return the case that *chance* decides."""

    def ours(self, case: Case) -> Outcome:
        """Return what Imageport makes of *case*; raises what should not be raised."""

    def references(self, case: Case, folder: Path) -> Iterator[tuple[str, Outcome]]:
        """Yield what each reference tool makes of *case*; *folder* is empty."""

    def justified(self, case: Case, program: str, outcome: Outcome) -> bool:
        """Return whether that *program* has another *outcome* than ours, which is a content, is on purpose."""


def run(
    command: Sequence[str | Path], folder: Path, *, complaints: bool = False, warning: int | None = None
) -> Outcome:
    """Return what *command* prints; it refuses by its status, or by *complaints* on standard error.

    The status *warning* is that for content that is good.
    """
    with (
        tempfile.TemporaryFile() as complaint,
        subprocess.Popen(
            ["timeout", str(_PATIENCE), *command],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaint,
            env=_ENVIRONMENT,
        ) as process,
    ):
        assert process.stdout is not None
        content = process.stdout.read(_MOST + 1)
        if len(content) > _MOST:
            process.kill()
            return Outcome(None, f"has more than {_MOST} bytes")
        status = process.wait()
        complaint.seek(0)
        output = complaint.read(500).decode(errors="replace").strip()
    if status not in (0, warning) or (complaints and output):
        return Outcome(None, f"status {status}: {output}")
    return Outcome(content)
