"""The import is made of few small modules, classes and functions; the bars are printed, so that a trend shows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import imageport

CORE = Path(imageport.__file__).parent
IMPORTING = CORE / "importing"

MODULES = 15
LINES = 300
ATTRIBUTES = 10
FUNCTION_LINES = 50

#: Its attributes are the keys of the JSON document, which programs read.
DOCUMENTS = {"Report"}


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def _modules(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if _lines(path) > 1)


def _nodes(folder: Path) -> Iterator[tuple[Path, ast.AST]]:
    for path in _modules(folder):
        for node in ast.walk(ast.parse(path.read_text())):
            yield path, node


def _attributes(node: ast.ClassDef) -> set[str]:
    """Return what the instances of a class have: fields, and what its methods set on ``self``."""
    fields = {
        item.target.id
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }
    assigned = {
        item.attr
        for item in ast.walk(node)
        if isinstance(item, ast.Attribute)
        and isinstance(item.ctx, ast.Store)
        and isinstance(item.value, ast.Name)
        and item.value.id == "self"
    }
    return fields | assigned


def _show(what: str, found: dict[str, int], bar: int) -> dict[str, int]:
    """Print the three largest, and return those above the *bar*."""
    largest = sorted(found.items(), key=lambda item: -item[1])[:3]
    print(f"{what}, at most {bar}: " + ", ".join(f"{name} {size}" for name, size in largest))
    return {name: size for name, size in found.items() if size > bar}


def test_the_import_has_few_modules() -> None:
    modules = [path.stem for path in _modules(IMPORTING)]
    print(f"modules, at most {MODULES}: {len(modules)} ({', '.join(modules)})")
    assert len(modules) <= MODULES


def test_no_module_of_the_import_is_long() -> None:
    assert _show("lines", {path.stem: _lines(path) for path in _modules(IMPORTING)}, LINES) == {}


def test_no_class_of_the_import_has_many_attributes() -> None:
    found = {
        node.name: len(_attributes(node)) for _, node in _nodes(IMPORTING) if isinstance(node, ast.ClassDef)
    }
    assert set(_show("attributes", found, ATTRIBUTES)) == DOCUMENTS


def test_no_function_of_the_import_is_long() -> None:
    found = {
        f"{path.stem}.{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path, node in _nodes(IMPORTING)
        if isinstance(node, ast.FunctionDef)
    }
    assert _show("lines of a function", found, FUNCTION_LINES) == {}


def test_no_module_of_the_core_becomes_long() -> None:
    found = {str(path.relative_to(CORE)): _lines(path) for path in _modules(CORE)}
    assert _show("lines in the core", found, LINES) == {}


def test_a_copy_has_no_more_attributes_than_its_bar_with_those_it_inherits() -> None:
    consumer = _class(CORE / "dataplane/fanout.py", "Consumer")
    copy = _class(IMPORTING / "copies.py", "Copy")
    assert len(_attributes(consumer) | _attributes(copy)) <= ATTRIBUTES


def _class(path: Path, name: str) -> ast.ClassDef:
    return next(
        node
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == name
    )


def test_one_function_writes_a_spool_and_one_reports_a_damaged_copy() -> None:
    users = [
        path
        for path in _modules(CORE)
        if "SparseFile(" in path.read_text() and not path.is_relative_to(CORE / "stores")
    ]
    assert [path.relative_to(CORE).as_posix() for path in users] == ["dataplane/spool.py"]
    plugins = CORE.parents[1] / "builtin_plugins"
    raised = [
        path.name
        for folder in (CORE, plugins)
        for path in _modules(folder)
        if re.search(r"f.the copy in .* is damaged", path.read_text())
    ]
    assert raised == ["verification.py"]
