"""A plugin that reads a public field can name its type."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from importlib import import_module
from typing import Any, get_args, get_type_hints

import pytest
from tests.public_api.test_builtins_use_the_public_api import PUBLIC_MODULES

import imageport


def public() -> dict[str, Any]:
    """Return every public name that plugins import."""
    return {
        name: getattr(module, name)
        for module in map(import_module, ("imageport", *PUBLIC_MODULES))
        for name in module.__all__
    }


def classes_in(hint: object) -> Iterator[type]:
    """Yield the classes of Imageport that the type *hint* is made of."""
    if isinstance(hint, type) and hint.__module__.startswith("imageport"):
        yield hint
    for argument in get_args(hint):
        yield from classes_in(argument) if not isinstance(argument, list) else ()


DATACLASSES = {name: found for name, found in public().items() if dataclasses.is_dataclass(found)}


@pytest.mark.parametrize("name", sorted(DATACLASSES))
def test_the_types_of_public_fields_are_public(name: str) -> None:
    kind = DATACLASSES[name]
    # The transport and the file of a download are imported for type checkers only: they are slow to load.
    known = {found.__name__: found for found in public().values() if isinstance(found, type)}
    hints = get_type_hints(kind, localns=known)
    for field in dataclasses.fields(kind):
        if not field.name.startswith("_"):
            for found in classes_in(hints[field.name]):
                assert known.get(found.__name__) is found, f"{field.name}: {found}"


def test_events_are_public_in_both_modules() -> None:
    assert imageport.Event is import_module("imageport.events").Event
    assert set(get_args(imageport.Event)) < set(public().values())
