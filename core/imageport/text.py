"""Texts for people: escaped characters, near names, and trees of texts."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = [
    "NAME",
    "did_you_mean",
    "printable",
]

#: Names of plugins, commands, steps and stores: a name becomes a label, an id and part of file names.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def printable(text: str) -> str:
    """Return *text* with every character escaped that could move the cursor or forge a line of a message."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest of *known*, or nothing when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""


def map_texts(tree: Any, change: Callable[[str], str]) -> Any:
    """Return *tree*, made of mappings, lists and plain values, with *change* made to its texts."""
    if isinstance(tree, Mapping):
        return {key: map_texts(value, change) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [map_texts(value, change) for value in tree]
    return change(tree) if isinstance(tree, str) else tree
