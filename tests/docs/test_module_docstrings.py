"""Docstrings of modules begin with a verb or a noun."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
QUESTION = re.compile(r"(What|Which|Whether|Who|Whose|How|Where|When|Why)\b")


def modules() -> list[Path]:
    folders = ("core", "builtin_plugins", "contrib", "tests", "docs")
    return [path for folder in folders for path in sorted((REPOSITORY / folder).rglob("*.py"))]


def test_no_docstring_of_a_module_begins_with_a_question_word() -> None:
    found = {}
    for path in modules():
        docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
        if QUESTION.match(docstring):
            found[str(path.relative_to(REPOSITORY))] = docstring.splitlines()[0]
    assert found == {}
