"""Certify an installed plugin: run the suites of its roles in another process, and give a verdict for each clause.

The process runs pytest. This module does not, nor does it import the plugin: whatever the plugin does, there is a
verdict.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

from imageport.cli.commands import GROUP, InstalledCommand
from imageport.errors import UsageError
from imageport.plugins.descriptions import describe
from imageport.plugins.entry_points import EntryPoint, entry_points
from imageport.plugins.registry import PluginRegistry

__all__ = ["Candidate", "Clause", "Verdict", "candidate_called", "certify", "supplier"]

#: Seconds after which a clause that has not ended is given up, in addition to the deadlines of its hooks.
_GRACE = 300.0

#: Processes that a plugin may end before it is given up.
_MOST_DEATHS = 3

#: The clause of a plugin for which no other one can be tried.
UNUSABLE = "the plugin can be imported and made"

_CHILD = "from imageport.testing.certified import main; main()"

#: The verdict about a clause.
Verdict = Literal["passed", "failed", "not tried"]


@dataclass(frozen=True, kw_only=True)
class Clause:
    """The verdict about one clause of the contract.

    ``role`` is the suite, such as ``store``, and ``capability`` the declared fact that the clause is about. ``case`` is
    the input with which it failed. ``reason`` and ``hint`` are empty when it has passed.
    """

    role: str
    clause: str
    verdict: Verdict
    capability: str | None = None
    case: str | None = None
    reason: str = ""
    hint: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What is certified: an installed plugin or command, with the options of a pipeline, and what its suites need.

    ``image`` is a file that a step or method accepts, ``disk_format`` its format; ``server`` are the processes of the
    server of a store. A hook may take ``patience`` seconds. ``only`` is a text that the
    clauses to try contain.
    """

    name: str
    kind: Literal["plugin", "command"] = "plugin"
    options: Mapping[str, Any] = field(default_factory=dict)
    image: str | None = None
    disk_format: str = "raw"
    server: tuple[int, ...] = ()
    patience: float | None = None
    only: str = ""


def supplier(candidate: Candidate) -> str:
    """Return name and version of the distribution of *candidate*. Raises ``UsageError`` when it is not installed."""
    return _installed(candidate).distribution


def _installed(candidate: Candidate) -> EntryPoint:
    if candidate.kind == "plugin":
        return PluginRegistry.installed().find(candidate.name)
    return entry_points(GROUP, InstalledCommand)[candidate.name]


def candidate_called(name: str, **fields: Any) -> Candidate:
    """Return the installed plugin called *name*, else the command, with *fields*. Raises ``UsageError`` without."""
    is_command = name not in PluginRegistry.installed().names() and name in entry_points(
        GROUP, InstalledCommand
    )
    candidate = Candidate(name=name, kind="command" if is_command else "plugin", **fields)
    _installed(candidate)
    return candidate


def certify(candidate: Candidate) -> Iterator[Clause]:
    """Yield the verdict about each clause of the suites for *candidate*, as soon as it is known.

    Raises ``UsageError`` when it is not installed, its options are wrong, or pytest is missing.
    """
    installed = _installed(candidate)
    if find_spec("pytest") is None:
        raise UsageError(
            "pytest, with which plugins are tested, is not installed",
            hint="install it with: pip install 'imageport[testing]'",
        )
    by = "imageport.plugins.describing:describe_plugin"
    if candidate.kind == "command":
        by = "imageport.cli.commands:describe_command"
    usable = describe([installed], None, by=by)[candidate.name]
    if usable.broken:
        yield _unusable(usable.summary)
        return
    done: list[str] = []
    deaths = 0
    with tempfile.TemporaryDirectory(prefix="imageport-certify-") as folder:
        while True:
            ended = False
            running: dict[str, Any] | None = None
            for message in _messages(candidate, done, Path(folder)):
                match message.pop("about"):
                    case "begun":
                        running = message
                    case "clause":
                        done.append(message.pop("test"))
                        running = None
                        yield Clause(**message)
                    case "wrong options":
                        raise UsageError(
                            f"the options of '{candidate.name}' are wrong: {message['reason']}",
                            hint=f"see 'imageport plugins show {candidate.name}', and write a file for --options",
                        )
                    case "end":
                        ended = True
            if ended:
                return
            if running is None:
                yield _unusable("the process that runs the suite ended before its first clause")
                return
            done.append(running.pop("test"))
            yield Clause(
                **running, verdict="failed", reason="the plugin ended the process, or did not return"
            )
            deaths += 1
            if deaths == _MOST_DEATHS:
                reason = f"the plugin has ended the process {deaths} times"
                yield Clause(
                    role=running["role"], clause="all other clauses", verdict="not tried", reason=reason
                )
                return


def _unusable(reason: str) -> Clause:
    return Clause(
        role="every plugin",
        clause=UNUSABLE,
        verdict="failed",
        reason=reason,
        hint="see 'imageport plugins doctor'",
    )


def _messages(candidate: Candidate, done: list[str], folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what a process reports that runs the tests which are not *done*."""
    reading, writing = os.pipe()
    request = {"candidate": asdict(candidate), "done": done, "folder": str(folder), "descriptor": writing}
    with os.fdopen(reading) as answers, tempfile.TemporaryFile() as output:
        try:
            child = subprocess.Popen(
                [sys.executable, "-P", "-c", _CHILD, json.dumps([entry or str(Path.cwd()) for entry in sys.path])],
                stdin=subprocess.PIPE, stdout=output, stderr=output, pass_fds=[writing], text=True, cwd=folder,
                start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(writing)
        with child:
            json.dump(request, cast("Any", child.stdin))
            cast("Any", child.stdin).close()
            try:
                yield from _lines(answers, child)
            finally:
                _kill(child)


def _lines(answers: Any, child: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    while True:
        timer = threading.Timer(_GRACE, _kill, [child])
        timer.daemon = True
        timer.start()
        line = answers.readline()
        timer.cancel()
        if not line.endswith("\n"):
            return
        message = json.loads(line)
        yield message
        # The consumer takes the key out of the message.
        if message.get("about", "clause") == "end":
            return


def _kill(child: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
