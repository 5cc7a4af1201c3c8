"""YAML text turned into plain values, with the position of every key. Commands that read no file do without it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from imageport.configuration.positions import invalid_file, position_of_end, problem_at
from imageport.errors import KeyPath, PipelineInvalid, Problem

#: Values of one file, counted where they are used: an alias counts as all that it stands for.
MAX_VALUES = 100_000

#: Mappings and lists inside one another.
MAX_DEPTH = 50

_VERSION = (1, 2)
_TAG = "tag:yaml.org,2002:"
_TYPED = frozenset(_TAG + name for name in ("int", "float", "bool", "null"))
# A date is text here: no option is a date, and a version such as 2024-01-01 is to stay as it was written.
_TEXT = frozenset(_TAG + name for name in ("str", "timestamp", "merge", "value"))

# YAML can write them as "\ud800"; nothing can print or store them.
_SURROGATE = re.compile("[\ud800-\udfff]")

#: Largest absolute value of a number: no option needs more, and databases keep no larger ones.
_LARGEST_NUMBER = (1 << 63) - 1


def parsed(text: str, path: str) -> tuple[Any, Mapping[KeyPath, tuple[int, int]]]:
    """Return the values of *text*, and line and column of every key and list item.

    Raises ``PipelineInvalid`` with every mistake of the syntax; *path* names the file in it.
    """
    yaml = YAML(typ="safe", pure=True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ReusedAnchorWarning)
            root = yaml.compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = ", ".join(part for part in (error.context, error.problem) if part)
        raise invalid_file(path, f"not valid YAML: {message}", line, column) from error
    except ReaderError as error:
        line, column = position_of_end(text[: error.position])
        raise invalid_file(path, "not valid YAML: control character", line, column) from error
    except RecursionError as error:
        raise invalid_file(path, f"nested more than {MAX_DEPTH} levels deep") from error
    except Exception as error:  # the library trips over bad directives and escapes in many ways
        raise invalid_file(path, f"not valid YAML: {error}") from error
    if yaml.resolver.processing_version != _VERSION:
        # Its numbers of base 60 take time that grows with the square of their length.
        raise invalid_file(path, "only YAML 1.2 is supported: remove the %YAML line")
    if root is None:
        raise invalid_file(path, "the file is empty")
    if not isinstance(root, MappingNode):
        raise invalid_file(path, "must be a mapping (lines of the form 'key: value')")
    reader = _Reader(path, yaml)
    data = reader.value(root, ())
    if reader.problems:
        raise PipelineInvalid(sorted(reader.problems))
    return data, reader.positions


class WrittenInt(int):
    """A whole number whose ``str()`` is its text in the file, for options that are text: ``0755``, ``0x10``."""

    _text: str

    def __new__(cls, value: int, text: str) -> WrittenInt:
        number = super().__new__(cls, value)
        number._text = text
        return number

    def __str__(self) -> str:
        return self._text


class WrittenFloat(float):
    """A number with a fraction whose ``str()`` is its text in the file, for options that are text: ``24.10``."""

    _text: str

    def __new__(cls, value: float, text: str) -> WrittenFloat:
        number = super().__new__(cls, value)
        number._text = text
        return number

    def __str__(self) -> str:
        return self._text


class _Reader:
    """Turns nodes into plain values, noting positions and mistakes."""

    def __init__(self, path: str, yaml: YAML) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self.positions: dict[KeyPath, tuple[int, int]] = {}
        self._constructor = yaml.constructor
        self._count = 0

    def value(self, node: Node, key_path: KeyPath) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise invalid_file(self.path, f"more than {MAX_VALUES} values (aliases count as expanded)")
        if len(key_path) > MAX_DEPTH:
            raise PipelineInvalid([self._problem(node, (), f"nested more than {MAX_DEPTH} levels deep")])
        if isinstance(node, MappingNode) and node.tag == _TAG + "map":
            return dict(self._items(node, key_path))
        if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
            return [self._item(item, (*key_path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and node.tag in _TEXT:
            return self._text(node, key_path)
        if isinstance(node, ScalarNode) and node.tag in _TYPED:
            return self._typed(node, key_path)
        self.problems.append(self._problem(node, key_path, f"YAML tags ({node.tag}) are not supported"))
        return None

    def _text(self, node: ScalarNode, key_path: KeyPath) -> str:
        text: str = node.value
        if _SURROGATE.search(text):
            self.problems.append(self._problem(node, key_path, "half of a surrogate pair is not a character"))
        if "\0" in text:
            self.problems.append(self._problem(node, key_path, "a null character is not allowed"))
        return text

    def _typed(self, node: ScalarNode, key_path: KeyPath) -> Any:
        try:
            value = self._constructor.construct_object(node)
        except Exception:  # noqa: BLE001 - the library trips over what a tag promised in many ways
            kind = str(node.tag).removeprefix(_TAG)
            self.problems.append(self._problem(node, key_path, f"'{node.value:.40}' is not of type {kind}"))
            return None
        if isinstance(value, (int, float)) and not -_LARGEST_NUMBER <= value <= _LARGEST_NUMBER:
            self.problems.append(
                self._problem(node, key_path, f"'{node.value:.40}' is not a finite number of at most 64 bits")
            )
            return None
        if isinstance(value, (int, float)) and not isinstance(value, bool) and str(value) != node.value:
            return (
                WrittenInt(value, node.value) if isinstance(value, int) else WrittenFloat(value, node.value)
            )
        return value

    def _items(self, node: MappingNode, key_path: KeyPath) -> Iterator[tuple[str, Any]]:
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.problems.append(self._problem(key, key_path, "a key must be text"))
                continue
            path = (*key_path, self._text(key, key_path))
            if key.tag == _TAG + "merge":
                self.problems.append(self._problem(key, path, "merge keys are not supported"))
            if path in self.positions:
                first = self.positions[path][0]
                self.problems.append(
                    self._problem(key, path, f"duplicate key: it is already in line {first}")
                )
            else:
                self.positions[path] = _start(key)
            yield key.value, self.value(value, path)

    def _item(self, node: Node, key_path: KeyPath) -> Any:
        self.positions[key_path] = _start(node)
        return self.value(node, key_path)

    def _problem(self, node: Node, key_path: KeyPath, message: str) -> Problem:
        return problem_at(self.path, _start(node), key_path, message)


def _start(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
