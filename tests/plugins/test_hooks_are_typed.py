"""mypy and pyright find a hook that an import could not call, in the class of an author."""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import get_args

import pytest

from imageport import hook_signatures, plugin
from imageport.hookspecs import ImportHooks

REPOSITORY = Path(__file__).parents[2]

HEAD = """\
from collections.abc import Iterable, Iterator
from typing import Any

from imageport import Context, Event, Image, ImageData, ImageRecord, Location, NoConfig, PendingCopy, Plugin, Source
from imageport import hookimpl
from imageport.values import Finding, StoredCopy
"""

RIGHT = """\
class Whole(Plugin[NoConfig]):
    @hookimpl
    def validate_source(self, source: Source, image: ImageRecord, ctx: Context) -> None: ...
    @hookimpl
    def stage(self, source: Source, image: ImageRecord, ctx: Context) -> ImageData: raise NotImplementedError
    @hookimpl
    def transform(self, image: Image, ctx: Context) -> Image | None: return image
    @hookimpl
    def store_write(self, image: Image, ctx: Context) -> PendingCopy: raise NotImplementedError
    @hookimpl
    def store_read(self, location: Location, ctx: Context) -> ImageData: raise NotImplementedError
    @hookimpl
    def store_delete(self, location: Location, ctx: Context) -> None: ...
    @hookimpl
    def store_stat(self, location: Location, ctx: Context) -> StoredCopy | None: return None
    @hookimpl
    def store_list(self, ctx: Context) -> Iterator[StoredCopy]: yield from ()
    @hookimpl
    def on_progress(self, event: Event, ctx: Context) -> None: ...
    @hookimpl
    def diagnose(self, ctx: Context) -> Iterable[Finding]: return []

class Some(Plugin[NoConfig]):
    @hookimpl
    def validate_source(self, ctx: Context, source: Source) -> None: ...
    @hookimpl
    def stage(self) -> None: ...
    @hookimpl
    def transform(self, ctx: Context, image: Image, effort: int = 9) -> None: ...
    @hookimpl
    def store_read(self, location: Location) -> ImageData: raise NotImplementedError
    @hookimpl
    def store_delete(self, ctx: Context) -> None: ...
    @hookimpl
    def on_progress(self, event: Any) -> None: ...
    @hookimpl
    def diagnose(self) -> Iterator[Finding]: yield from ()

class Below(Some):
    @hookimpl
    def transform(self, ctx: Context, image: Image, effort: int = 10) -> None:
        return super().transform(image=image, ctx=ctx, effort=effort)

class Static(Plugin[NoConfig]):
    @staticmethod
    @hookimpl
    def transform(image: Image) -> Image: return image

def test(image: Image, event: Event, ctx: Context) -> None:
    assert Whole(NoConfig()).transform(image, ctx) is not None
    Some(NoConfig()).on_progress(event)
"""

#: The method of a plugin that each of the checkers refuses, with the reason.
WRONG: Mapping[str, str] = {
    "an argument that no hook has": "def transform(self, image: Image, money: Context) -> Image: return image",
    "a misspelt argument": "def transform(self, img: Image) -> Image: return img",
    "an argument of another hook": "def transform(self, location: Location) -> None: ...",
    "an argument of the wrong type": "def transform(self, image: ImageRecord) -> None: ...",
    "a wrong result": "def transform(self, image: Image) -> ImageRecord: return image.record",
    "a result of a hook that has none": "def on_progress(self, event: Event) -> str: return event.kind",
    "no data": "def store_read(self, location: Location) -> None: ...",
    "one finding": "def diagnose(self) -> Finding: return Finding('ok', 'well')",
    "a coroutine": "async def transform(self, image: Image) -> Image: return image",
    "a misspelt hook": "def transfrom(self, image: Image) -> Image: return image",
    "a hook of another program": "def pytest_configure(self, config: Any) -> None: ...",
}


def module() -> str:
    """Return a module of plugins, in which the lines with a mistake have a comment that names it."""
    classes = [
        f"class Wrong{number}(Plugin[NoConfig]):\n    @hookimpl\n    {method} # {mistake}\n"
        for number, (mistake, method) in enumerate(WRONG.items())
    ]
    unmarked = "class Unmarked(Plugin[NoConfig]):\n    def transform(self) -> None: ... # no mark\n"
    call = "def call(image: Image) -> None: Static(NoConfig()).transform(3) # a wrong call\n"
    return "\n".join([HEAD, RIGHT, *classes, unmarked, call])


def marked(text: str) -> dict[int, str]:
    """Return the lines of *text* that have a comment, with it."""
    lines = enumerate(text.splitlines(), 1)
    return {number: line.partition(" # ")[2] for number, line in lines if " # " in line}


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The package of an author who has switched on that each hook has its mark."""
    (tmp_path / "acme.py").write_text(module())
    (tmp_path / "pyproject.toml").write_text(
        '[tool.mypy]\nstrict = true\nenable_error_code = ["explicit-override"]\n'
        '[tool.pyright]\ninclude = ["acme.py"]\ntypeCheckingMode = "standard"\nreportImplicitOverride = "error"\n'
    )
    return tmp_path


def run(folder: Path, *command: str) -> str:
    """Run a type checker as the author does, and return its output."""
    environment = {**os.environ, "MYPYPATH": str(REPOSITORY / "core"), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    found = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode in (0, 1), found.stderr + found.stdout
    return found.stdout


def test_mypy_finds_each_mistake_and_no_other(package: Path) -> None:
    lines = run(package, "mypy", "acme.py", "--no-pretty", "--no-error-summary").splitlines()
    reported = [line.split(":", 2) for line in lines if ": error:" in line]
    found = {(file, int(number)) for file, number, _ in reported}
    assert found == {("acme.py", number) for number in marked(module())}, "\n".join(lines)


def test_pyright_finds_each_mistake_and_no_other(package: Path) -> None:
    answer = json.loads(run(package, "pyright", "--outputjson", "--pythonpath", sys.executable))
    found = {finding["range"]["start"]["line"] + 1 for finding in answer["generalDiagnostics"]}
    assert found == set(marked(module())), answer["generalDiagnostics"]


def test_pyright_finds_no_mistake_in_the_hooks_of_the_plugins_of_this_repository() -> None:
    folders = ["builtin_plugins", *REPOSITORY.glob("contrib/*/src"), "docs/tutorial"]
    output = run(REPOSITORY, "pyright", "--outputjson", "--pythonpath", sys.executable, *map(str, folders))
    answer = json.loads(output)
    assert answer["summary"]["filesAnalyzed"] > 80
    found = answer["generalDiagnostics"]
    assert [finding for finding in found if "overrid" in finding["message"]] == []


def test_plugin_declares_each_hook_with_the_arguments_and_the_result_of_its_specification() -> None:
    declared = {
        node.target.id: ast.unparse(node.annotation)
        for node in ast.walk(ast.parse(inspect.getsource(plugin.Plugin)))
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and "Takes" in ast.unparse(node.annotation)
    }
    specified = {}
    for name, hook in vars(ImportHooks).items():
        if not name.startswith("_"):
            signature = inspect.signature(hook)
            arguments = frozenset(list(signature.parameters)[1:])
            specified[name] = f"{FORMS[arguments]}[{signature.return_annotation}]"
    assert declared == specified


def arguments_of(form: type) -> tuple[str, ...]:
    """Return the arguments that a callable of *form* gets by name."""
    parameters = inspect.signature(form.__call__).parameters.values()
    return tuple(
        sorted(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)
    )


#: The types of hooks, by the arguments that they offer.
FORMS = {
    frozenset(name for form in get_args(kind) for name in arguments_of(form.__origin__)): alias
    for alias, kind in vars(hook_signatures).items()
    if alias.startswith("Takes")
}


@pytest.mark.parametrize("offered", FORMS, ids=FORMS.values())
def test_a_hook_may_have_each_choice_of_its_arguments(offered: frozenset[str]) -> None:
    choices = {
        tuple(sorted(choice)) for size in range(len(offered) + 1) for choice in combinations(offered, size)
    }
    forms = [form.__origin__ for form in get_args(vars(hook_signatures)[FORMS[offered]])]
    for kind in ("Method", "Function"):
        assert {arguments_of(form) for form in forms if form.__name__.endswith(kind)} == choices
