"""The hooks that plugins of other people rely on. A change breaks them: it needs a decision note and a new version.

Arguments may be added at the end of a hook, with a default.
"""

from __future__ import annotations

import ast
import inspect
from importlib import import_module
from pathlib import Path

import pytest

import imageport
from imageport.hookspecs import NAMESPACE, ImportHooks
from imageport.plugins.registry import GROUP

FROZEN = Path(__file__).with_name("hooks.txt")


def test_hooks_arguments_defaults_and_results_are_those_that_were_promised() -> None:
    lines = [f"entry points: {GROUP}"]
    for name, hook in vars(ImportHooks).items():
        if name.startswith("_"):
            continue
        arguments = inspect.signature(hook)
        own = [argument for argument in arguments.parameters.values() if argument.name != "self"]
        shown = str(arguments.replace(parameters=own)).replace("'", "")
        first = getattr(hook, f"{NAMESPACE}_spec")["firstresult"]
        lines.append(f"{name}{shown}{' (one answer)' if first else ''}")
    assert "\n".join(lines) + "\n" == FROZEN.read_text()


@pytest.mark.parametrize("name", imageport.PUBLIC_MODULES)
def test_a_public_module_has_the_names_that_it_lists_and_no_other(name: str) -> None:
    module = import_module(name)
    assert len(module.__all__) == len(set(module.__all__))
    assert all(hasattr(module, name) for name in module.__all__)
    assert [name for name in module.__all__ if name.startswith("_")] == []
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match=f"'{name}' has no attribute 'Imag'"):
        module.Imag  # noqa: B018


def test_the_contract_is_small() -> None:
    assert len(imageport.__all__) <= 27


@pytest.mark.parametrize("name", ["imageport", "imageport.dataplane", "imageport.http"])
def test_type_checkers_find_the_names_where_the_program_does(name: str) -> None:
    module = import_module(name)
    tree = ast.parse(inspect.getsource(module))
    for_types = {
        alias.name: node.module.removeprefix(f"{name}.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module != "imageport.lazy"
        for alias in node.names
        if node.module.startswith(f"{name}.")
    }
    homes = next(node for node in ast.walk(tree) if isinstance(node, ast.Dict))
    at_run_time = {name: home for home, names in ast.literal_eval(homes).items() for name in names}
    assert at_run_time == for_types
    assert set(at_run_time) == set(module.__all__)


def test_every_hook_has_a_summary_and_a_description() -> None:
    for name, hook in vars(ImportHooks).items():
        if not name.startswith("_"):
            summary, _, rest = (inspect.getdoc(hook) or "").partition("\n\n")
            assert summary.endswith("."), name
            assert rest, name
