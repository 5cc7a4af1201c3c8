"""YAML with a comment behind every value that names its option of Glance."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imageport.configuration import literal
from imageport.text import printable

if TYPE_CHECKING:
    from imageport_glance.from_glance.oslo_file import Setting

Scalar = str | int | bool
Value = Scalar | Sequence[str] | Sequence[int]

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./+-]*")
#: Words that YAML, of this version or an older one, takes for something else than text.
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value, the settings it came from, and further notes.

    Braces in it are braces, unless it ``has_variables``.
    """

    value: Value
    settings: tuple[Setting, ...] = ()
    remark: str = ""
    has_variables: bool = False

    @property
    def comment(self) -> str:
        """The comment behind the value."""
        origins = ", ".join(dict.fromkeys(setting.origin for setting in self.settings))
        return printable("; ".join(filter(None, (origins, self.remark))))


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A part of the file that is only a comment, because something it needs does not exist."""

    tree: Tree


Tree = Leaf | LeftOut | Mapping[str, "Tree"] | Sequence["Tree"]


def yaml_lines(tree: Tree) -> Iterator[str]:
    """Return the lines of *tree*."""
    match tree:
        case Leaf():
            yield f"{_written(tree)}{_comment(tree)}"
        case LeftOut(inner):
            yield from (f"# {line}" for line in yaml_lines(inner))
        case Mapping():
            for key, value in tree.items():
                yield from _entry(_scalar(key), value)
        case _:
            for item in tree:
                yield from _item(item)


def leaves(tree: Tree, path: str = "") -> Iterator[tuple[str, Leaf]]:
    """Return every value of *tree* except comments, with the keys that lead to it."""
    match tree:
        case Leaf():
            yield path, tree
        case LeftOut():
            pass
        case Mapping():
            for key, value in tree.items():
                yield from leaves(value, f"{path}.{key}" if path else key)
        case _:
            for number, item in enumerate(tree):
                yield from leaves(item, f"{path}.{number}")


def _entry(key: str, value: Tree) -> Iterator[str]:
    if isinstance(value, Leaf):
        yield f"{key}: {_written(value)}{_comment(value)}"
    elif not isinstance(value, LeftOut) and not value:
        yield f"{key}: {'{}' if isinstance(value, Mapping) else '[]'}"
    else:
        yield f"{key}:"
        yield from (f"  {line}" for line in yaml_lines(value))


def _item(item: Tree) -> Iterator[str]:
    if isinstance(item, LeftOut):
        yield from (f"# {line}" for line in _item(item.tree))
        return
    for number, line in enumerate(yaml_lines(item)):
        yield f"{'  ' if number else '- '}{line}"


def _comment(leaf: Leaf) -> str:
    return f"  # {leaf.comment}" if leaf.comment else ""


def _written(leaf: Leaf) -> str:
    if isinstance(leaf.value, (str, int)):
        return _scalar(_braced(leaf.value, leaf))
    return f"[{', '.join(_scalar(_braced(item, leaf)) for item in leaf.value)}]"


def _braced(value: Scalar, leaf: Leaf) -> Scalar:
    return value if leaf.has_variables or not isinstance(value, str) else literal(value)


def _scalar(value: Scalar) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    # Text of JSON is text of YAML 1.2.
    return (
        value
        if _PLAIN.fullmatch(value) and value.casefold() not in _WORDS
        else json.dumps(value, ensure_ascii=False)
    )
