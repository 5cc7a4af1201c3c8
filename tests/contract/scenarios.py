"""The scenarios of the import contract: which test proves which, and the page with the result."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parents[1]
PAGE = REPOSITORY / "docs/reference/import-contract.md"

#: What the scenarios are about, and the first number of each group.
GROUPS = {
    1: "Requests",
    16: "glance-direct",
    22: "web-download",
    29: "Which urls are permitted",
    41: "Several stores",
    54: "copy-image",
    61: "The lock of an image",
    71: "Reserved properties",
    74: "Injecting properties",
    78: "Unpacking",
    84: "Converting",
    94: "Looking at the bytes",
    98: "Staging and quotas",
    103: "Notifications",
    106: "glance-download",
}
LAST = 108


@dataclass(frozen=True)
class Waiting:
    """A part of a scenario that has no test, because what it is about does not exist here."""

    number: int
    what: str
    why: str


WAITING = (
    Waiting(
        17, "Another content type than octet-stream is answered with 415", "the command has no content types"
    ),
    Waiting(17, "A wrong verb is answered with 405", "the command has no verbs"),
    Waiting(
        99,
        "An import of what another worker has staged is sent on to it, and its answer returned (409, 502, 504)",
        "no worker listens on a machine; the error names the machine to import on",
    ),
)


@dataclass(frozen=True)
class Scenario:
    """A scenario, in our words, and the node id of its test."""

    number: int
    text: str
    test: str


def written() -> list[Scenario]:
    """Return the scenarios that have a test, in order; the docstring of the test is their text."""
    return sorted(_tests(), key=lambda scenario: scenario.number)


def _tests() -> Iterator[Scenario]:
    for path in sorted(FOLDER.glob("test_contract_*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and (found := re.match(r"test_(\d{3})_", node.name)):
                text = " ".join((ast.get_docstring(node) or "").split())
                yield Scenario(int(found[1]), text, f"{path.relative_to(REPOSITORY)}::{node.name}")


def page(verdicts: Mapping[str, str]) -> str:
    """Return the page that lists every scenario with its verdict; a test without one was not run."""
    scenarios = written()
    lines = [
        "<!-- Written by a run: pytest tests/contract --contract-page docs/reference/import-contract.md -->",
        "",
        "# The import contract",
        "",
        "What Imageport promises about imports: scenarios, each proved by one test. Most are what OpenStack Glance",
        "does; the others are what it should do.",
    ]
    for first, after in pairwise([*GROUPS, LAST + 1]):
        group = [scenario for scenario in scenarios if first <= scenario.number < after]
        if group:
            rows = [
                [str(one.number), one.text, _name(one), verdicts.get(one.test, "not run")] for one in group
            ]
            lines += ["", f"## {GROUPS[first]}", "", *_table(["number", "scenario", "test", "verdict"], rows)]
    rows = [[str(part.number), part.what, part.why] for part in WAITING]
    lines += ["", "## What waits for an HTTP interface", "", *_table(["number", "what", "why"], rows)]
    return "\n".join([*lines, ""])


def _name(scenario: Scenario) -> str:
    return f"`{scenario.test.rpartition('::')[2]}`"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return [f"| {' | '.join(row)} |" for row in cells]
