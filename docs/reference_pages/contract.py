"""The pages about hooks and the names that plugins import."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module

import imageport
from imageport import hookspecs
from imageport.hookspecs import NAMESPACE, ImportHooks
from reference_pages.writing import fenced, first_paragraph, one_line, plain_type, prose, signature, table


def hooks_page() -> Iterator[str]:
    """Describe the contract between Imageport and plugins."""
    yield "# Hooks"
    yield prose(hookspecs)
    for name, hook in vars(ImportHooks).items():
        if name.startswith("_"):
            continue
        yield f"## {name}"
        yield fenced("python", signature(name, hook))
        yield prose(hook)


def api_page() -> Iterator[str]:
    """Describe the names that plugins may import."""
    yield "# Names that plugins import"
    yield (
        "The contract is in `imageport`; tools are in separate modules. All other modules and names may change in "
        "any release."
    )
    described: set[str] = set()
    for module in map(import_module, imageport.PUBLIC_MODULES):
        yield f"## {module.__name__}"
        yield prose(module)
        names = sorted(module.__all__, key=str.casefold)
        if again := [f"`{name}`" for name in names if name in described]:
            yield f"Described above: {', '.join(again)}."
        for name in names:
            if name not in described:
                yield f"### {module.__name__}.{name}"
                yield from name_description(name, getattr(module, name))
        described.update(names)


def name_description(name: str, member: object) -> Iterator[str]:
    """Describe a class, a function or a constant."""
    if isinstance(member, type) and member.__module__.startswith(NAMESPACE):
        yield from class_description(member)
    elif callable(member) and getattr(member, "__module__", "").startswith(NAMESPACE):
        yield fenced("python", signature(name, member))
        yield prose(member)
    else:
        yield constant_description(name, member)


def class_description(kind: type) -> Iterator[str]:
    """Describe a class: its docstring, its fields, and its methods."""
    yield prose(kind)
    if dataclasses.is_dataclass(kind):
        public = [field for field in dataclasses.fields(kind) if not field.name.startswith("_")]
        rows = [(f"`{field.name}`", plain_type(field.type)) for field in public]
        yield table(("field", "type"), rows)
    methods = []
    tests = []
    for name, attribute in _members(kind):
        member = attribute.__func__ if isinstance(attribute, (classmethod, staticmethod)) else attribute
        if name.startswith("_") or name == "model_config":
            continue
        if name.startswith("test_"):
            tests.append(f"* {name.removeprefix('test_').replace('_', ' ')}")
            continue
        if isinstance(member, property):
            methods.append((f"`{name}`", first_paragraph(member.fget)))
        elif inspect.isfunction(member):
            methods.append((f"`{one_line(name, member)}`", first_paragraph(member)))
    if methods:
        yield table(("member", "meaning"), methods)
    if tests:
        others = [base for base in kind.__mro__[1:] if base.__name__ in _suites() and base is not kind]
        yield "The tests:"
        listed = [f"* those of `{base.__name__}`" for base in others]
        yield "\n".join([*listed, *tests])


def _members(kind: type) -> Iterator[tuple[str, object]]:
    """Yield what *kind* defines, with what it inherits from classes that are not public themselves if it is a suite."""
    parts = [kind]
    if kind.__name__ in _suites():
        parts += [
            base
            for base in kind.__mro__[1:]
            if base.__module__.startswith(f"{NAMESPACE}.testing") and base.__name__ not in _suites()
        ]
    for part in parts:
        yield from vars(part).items()


def _suites() -> list[str]:
    testing = import_module(f"{NAMESPACE}.testing")
    return [name for name in testing.__all__ if name.endswith("Conformance")]


def constant_description(name: str, value: object) -> str:
    """Return the comment above the definition of a constant."""
    for module in [module for key, module in sorted(sys.modules.items()) if key.startswith(NAMESPACE)]:
        if vars(module).get(name) is not value:
            continue
        source = inspect.getsource(module) if module.__file__ else ""
        if found := re.search(rf"((?:^ *#: .*\n)+) *{name}\b.* = ", source, re.MULTILINE):
            return re.sub(r"^ *#: ", "", found[1], flags=re.MULTILINE).replace("``", "`").strip()
    raise SystemExit(f"public name {name} has no comment that begins with #:")
