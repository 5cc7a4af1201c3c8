"""The process that runs the suites of one candidate, and reports each clause as a line of JSON."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import pytest
from pydantic import ValidationError

from imageport.errors import ImageportError
from imageport.testing.benches import configure, find_plugin
from imageport.testing.certifying import UNUSABLE
from imageport.testing.clauses import CAPABILITY, BrokenClause, Unresponsive
from imageport.testing.plugin_suite import PluginConformance

#: Clauses in which hooks may not return before the others are given up.
_MOST_HANGING = 3

_MODULE = '''"""The suites of one candidate."""

from imageport.testing.certified_suites import suites_of_request

globals().update(suites_of_request())
'''


def main() -> None:
    """Run the suites for the request on standard input, and end the process."""
    sys.path[:] = json.loads(sys.argv[1])
    request = json.load(sys.stdin)
    os.set_inheritable(request["descriptor"], False)
    folder = Path(request["folder"])
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    (folder / "test_candidate.py").write_text(_MODULE)
    (folder / "request.json").write_text(json.dumps(request["candidate"]))
    (folder / "pytest.ini").write_text("[pytest]\n")
    with os.fdopen(request["descriptor"], "w") as answers:
        if mistake := _mistake_in_options(request["candidate"], folder):
            print(json.dumps({"about": "wrong options", "reason": mistake}), file=answers, flush=True)
            os._exit(0)
        reporter = _Reporter(answers, frozenset(request["done"]), request["candidate"]["only"])
        arguments = [
            "-p", "imageport.testing.pytest_plugin", "-p", "no:cacheprovider", "-q", "--rootdir", str(folder),
            "-c", str(folder / "pytest.ini"), "--basetemp", str(folder / f"tmp-{os.getpid()}"),
            "-W", "ignore", str(folder / "test_candidate.py"),
        ]  # fmt: skip
        pytest.main(arguments, plugins=[reporter])
        reporter.end()
    # Threads of the plugin must not delay the end.
    os._exit(0)


def _mistake_in_options(candidate: dict[str, Any], folder: Path) -> str:
    """Return the mistakes in the options of *candidate*, without their values: some are secret."""
    if candidate["kind"] == "command":
        return ""
    try:
        configure(find_plugin(candidate["name"])[2], candidate["options"], folder)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        return "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in details)
    return ""


class _Reporter:
    """Turns the reports of pytest into verdicts about clauses: the cases of one test are one clause."""

    def __init__(self, answers: TextIO, done: frozenset[str], only: str) -> None:
        self._answers = answers
        self._done = done
        self._only = only
        self._hanging: set[str] = set()
        self._test = ""
        self._about: dict[str, Any] = {}
        self._worst: dict[str, Any] = {}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out the tests whose verdicts are known, and begin with those of every plugin and of the usual case."""
        items[:] = [
            item for item in items if _name(item) not in self._done and self._only in _clause(_name(item))
        ]
        items.sort(key=_rank)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Report a candidate of which no suite can be made."""
        if report.failed:
            about = {"role": "every plugin", "clause": UNUSABLE, "hint": "see 'imageport plugins doctor'"}
            self._send(
                "clause", test="collect", **about, verdict="failed", reason=_last_line(str(report.longrepr))
            )

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> None:
        """Note which clause is tried."""
        if _name(item) == self._test:
            return
        self._report()
        function = getattr(item, "function", None)
        self._test = _name(item)
        self._about = {
            "role": getattr(_defining(item), "role", "every plugin"),
            "clause": _clause(self._test),
            "capability": getattr(function, CAPABILITY, None),
            "hint": " ".join((getattr(function, "__doc__", "") or "").split()),
        }
        self._worst = {}
        self._send("begun", test=self._test, **self._about)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        """Keep the first failure of the clause, else that one of its cases has passed."""
        report = yield
        if call.excinfo is not None and not call.excinfo.errisinstance(pytest.skip.Exception):
            if self._worst.get("verdict") != "failed":
                reason, hint = _explain(call.excinfo.value)
                case = item.name.partition("[")[2].rstrip("]") or None
                self._worst = {"verdict": "failed", "reason": reason, "case": case}
                if hint:
                    self._worst["hint"] = hint
            if isinstance(call.excinfo.value, Unresponsive):
                self._note_hanging(item)
        elif report.skipped:
            if not self._worst:
                self._worst = {
                    "verdict": "not tried",
                    "reason": str(call.excinfo and call.excinfo.value),
                    "hint": "",
                }
        elif report.when == "call" and self._worst.get("verdict") != "failed":
            self._worst = {"verdict": "passed", "hint": ""}
        return report

    def _note_hanging(self, item: pytest.Item) -> None:
        """Give the plugin up when hooks have not returned in several clauses: each takes all of the patience."""
        self._hanging.add(_name(item))
        if len(self._hanging) == _MOST_HANGING:
            item.session.shouldstop = "hooks of the plugin do not return"

    def end(self) -> None:
        """Report the last clause."""
        self._report()
        if len(self._hanging) == _MOST_HANGING:
            reason = f"hooks of the plugin did not return in {_MOST_HANGING} clauses"
            role = self._about["role"]
            self._send(
                "clause", test="", role=role, clause="all other clauses", verdict="not tried", reason=reason
            )
        self._send("end")

    def _report(self) -> None:
        if self._worst:
            self._send("clause", test=self._test, **{**self._about, **self._worst})

    def _send(self, about: str, **message: Any) -> None:
        print(json.dumps({"about": about, **message}), file=self._answers, flush=True)


def _clause(test: str) -> str:
    return test.removeprefix("test_").replace("_", " ")


def _name(item: pytest.Item) -> str:
    return getattr(item, "originalname", item.name)


def _defining(item: pytest.Item) -> type | None:
    """Return the class that defines the test of *item*."""
    kind = getattr(item, "cls", None)
    return next((base for base in getattr(kind, "__mro__", ()) if _name(item) in vars(base)), None)


def _rank(item: pytest.Item) -> int:
    """Return the place of *item*: every plugin, the usual case, and then what supplements a suite."""
    suite = _defining(item)
    if suite is PluginConformance:
        return 0
    return 1 if suite is not None and suite.__name__.endswith("Conformance") else 2


def _explain(error: BaseException) -> tuple[str, str]:
    """Return the reason and the hint for *error*, without words of pytest."""
    if isinstance(error, ImageportError):
        return f"{type(error).__name__}: {error.message}", ""
    if isinstance(error, (BrokenClause, AssertionError)):
        return str(error).partition("\n")[0], ""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}", ""


def _last_line(text: str) -> str:
    return next((line.removeprefix("E").strip() for line in reversed(text.splitlines()) if line.strip()), "")
