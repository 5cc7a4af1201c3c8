"""A plugin that uses a public class can name the types of its fields, arguments and results."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, get_args, get_type_hints

import pytest
from tests.public_names import PUBLIC

import imageport

CLASSES = {
    name: found
    for name, found in PUBLIC.items()
    if isinstance(found, type) and found.__module__.startswith("imageport")
}
#: Some types are imported for type checkers only: their modules are slow to load.
KNOWN = {found.__name__: found for found in CLASSES.values()} | {
    name.rpartition(".")[2]: found for name, found in PUBLIC.items()
}


def classes_in(hint: object) -> Iterator[type]:
    """Yield the classes of Imageport that the type *hint* is made of."""
    if isinstance(hint, type) and hint.__module__.startswith("imageport"):
        yield hint
    for argument in get_args(hint):
        for part in argument if isinstance(argument, list) else (argument,):
            yield from classes_in(part)


def public_members(kind: type) -> Iterator[Callable[..., Any]]:
    """Yield the public methods and properties that *kind* defines."""
    for name, member in vars(kind).items():
        if name.startswith("_"):
            continue
        function = getattr(member, "__func__", getattr(member, "fget", member))
        if inspect.isfunction(function):
            yield function


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_the_types_of_public_classes_are_public(name: str) -> None:
    kind = CLASSES[name]
    fields = {name: hint for name, hint in get_type_hints(kind, localns=KNOWN).items() if name[0] != "_"}
    hints = [fields] + [get_type_hints(member, localns=KNOWN) for member in public_members(kind)]
    named = {found.__name__ for each in hints for hint in each.values() for found in classes_in(hint)}
    assert named <= set(KNOWN)


@pytest.mark.parametrize("name", sorted(name for name, found in PUBLIC.items() if inspect.isfunction(found)))
def test_the_types_of_public_functions_are_public(name: str) -> None:
    hints = get_type_hints(PUBLIC[name], localns=KNOWN)
    assert {found.__name__ for hint in hints.values() for found in classes_in(hint)} <= set(KNOWN)


def test_events_are_public_in_both_modules() -> None:
    assert imageport.Event is import_module("imageport.events").Event
    assert set(get_args(imageport.Event)) < set(CLASSES.values())
