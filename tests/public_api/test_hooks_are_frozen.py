"""The hooks that plugins of other people rely on. A change breaks them: it needs a decision note and a new version.

Arguments may be added at the end of a hook, with a default.
"""

from __future__ import annotations

import ast
import inspect
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


def test_every_public_name_is_there_and_no_other() -> None:
    assert sorted(imageport.__all__) == sorted(set(imageport.__all__))
    assert all(hasattr(imageport, name) for name in imageport.__all__)
    assert [name for name in imageport.__all__ if name.startswith("_")] == []
    assert set(imageport.__all__) <= set(dir(imageport))
    with pytest.raises(AttributeError, match="'imageport' has no attribute 'Imag'"):
        imageport.Imag  # noqa: B018


def test_type_checkers_see_the_public_names_where_they_are() -> None:
    seen = {
        alias.name: node.module
        for node in ast.walk(ast.parse(inspect.getsource(imageport)))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("imageport.")
        for alias in node.names
    }
    assert seen == imageport._HOMES


def test_every_hook_says_what_it_does_and_names_its_arguments() -> None:
    for name, hook in vars(ImportHooks).items():
        if not name.startswith("_"):
            summary, _, rest = (inspect.getdoc(hook) or "").partition("\n\n")
            assert summary.endswith("."), name
            assert rest, name
