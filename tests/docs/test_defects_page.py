"""The page of Glance's defects lists every known one, and names tests that exist."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

TESTS = Path(__file__).parents[1]
GROUPS: dict[str, dict[str, Any]] = YAML(typ="safe").load(TESTS / "contract/known_defects.yaml")
DEFECTS = {name: defect for group in GROUPS.values() for name, defect in group.items()}

#: Of these nothing was published, so there is nothing to test.
UNPUBLISHED = {"CVE-2026-71196, CVE-2026-71197, CVE-2026-71198"}

OBSERVED = {f"D{number}" for number in range(1, 19)}
BUGS = {
    "1795950", "1803299", "1803498", "1855417", "1863879", "1881958", "1884596", "1885003", "1885725", "1889640",
    "1889664", "1891352", "1895663", "1913625", "1914826", "1924612", "1939922", "2028895", "2072483", "2085321",
    "2127789", "2132607", "2132624", "2132963", "2136859", "2141673", "2152110",
}  # fmt: skip
ADVISORIES = {
    "OSSA-2026-004", "OSSA-2024-001", "OSSA-2024-003", "OSSA-2024-004", "OSSA-2023-002", "OSSA-2016-012",
    "OSSA-2015-014", "OSSA-2015-004", "OSSA-2015-013", "OSSA-2014-028", "OSSA-2015-003", "OSSA-2015-020", "OSSN-0078",
    "OSSN-0061",
}  # fmt: skip


def existing_tests() -> set[str]:
    """Return every test as ``file::function``."""
    return {
        f"{path.stem}::{node.name}"
        for path in TESTS.rglob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_known_defect_is_reported_once() -> None:
    names = Counter(re.findall(r"\bD\d+\b|\b\d{7}\b|\bOSS[AN]-[\d-]+\b", " ".join(DEFECTS)))
    assert set(names) == OBSERVED | BUGS | ADVISORIES
    assert set(names.values()) == {1}


def test_every_defect_has_tests_and_all_of_them_exist() -> None:
    assert {name for name, defect in DEFECTS.items() if not defect["tests"]} == UNPUBLISHED
    named = {test for defect in DEFECTS.values() for test in defect["tests"]}
    assert named - existing_tests() == set()
