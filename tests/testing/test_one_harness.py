"""Each tool of the tests is there once, for the tests of Imageport and for those of plugins."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

#: What the benchmark measures against has to cost nothing: the kernel sends its files.
EXCEPTIONS = {"tests/bench/file_server.py"}


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Yield the path and the code of every module."""
    for folder in ("core", "builtin_plugins", "contrib", "docs", "tests"):
        for path in (REPOSITORY / folder).rglob("*.py"):
            if (name := path.relative_to(REPOSITORY).as_posix()) not in EXCEPTIONS:
                yield name, ast.parse(path.read_text())


@pytest.mark.parametrize("function", ["make_context", "make_transport", "run_pipeline"])
def test_a_function_is_defined_once(function: str) -> None:
    found = [
        name
        for name, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == function
        # The fixture of that name gives it the folder of the test.
        if name != "core/imageport/testing/pytest_plugin.py"
    ]
    assert len(found) == 1
    assert found[0].startswith("core/imageport/testing/")


def test_there_is_one_web_server() -> None:
    found = [
        name
        for name, tree in sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "http.server"
    ]
    assert found == ["core/imageport/testing/http_server.py"]
