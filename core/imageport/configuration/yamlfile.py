"""YAML files that know where every key stands, and mistakes told by position."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, ReusedAnchorWarning
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from imageport.configuration.positions import Problem, printable
from imageport.errors import PipelineInvalid

#: Bytes of the largest file that is read.
MAX_FILE_SIZE = 1 << 20

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

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class YamlFile:
    """One parsed document: plain values, and the position of every key and list item.

    ``path`` is the name of the file as the user typed it.
    """

    path: str
    data: Any = field(repr=False)
    positions: Mapping[KeyPath, tuple[int, int]] = field(repr=False)

    @classmethod
    def load(cls, path: str | Path, *, name: str | None = None) -> YamlFile:
        """Read the YAML file at *path*, called *name* in messages when that is not the path.

        Raises ``PipelineInvalid`` with every mistake of the syntax.
        """
        name = name or str(path)
        try:
            if not Path(path).exists():
                raise _invalid(name, "no such file: check the spelling and the folder")
            if not Path(path).is_file():
                raise _invalid(name, "this is not a regular file")
            with Path(path).open("rb") as file:
                content = file.read(MAX_FILE_SIZE + 1)
        except OSError as error:
            raise _invalid(name, f"cannot be read: {error.strerror}") from error
        if len(content) > MAX_FILE_SIZE:
            raise _invalid(name, f"the file is larger than {MAX_FILE_SIZE} bytes")
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            line, column = _position_of(content[: error.start].decode())
            raise _invalid(name, "this is not UTF-8 text", line, column) from error
        return cls.parse(text, name)

    @classmethod
    def parse(cls, text: str, path: str = "<string>") -> YamlFile:
        """Read YAML from *text*; *path* names it in messages. Raises ``PipelineInvalid`` like ``load``."""
        yaml = YAML(typ="safe", pure=True)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ReusedAnchorWarning)
                root = yaml.compose(text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            message = ", ".join(part for part in (error.context, error.problem) if part)
            raise _invalid(path, f"not valid YAML: {message}", line, column) from error
        except ReaderError as error:
            line, column = _position_of(text[: error.position])
            raise _invalid(path, "not valid YAML: control character", line, column) from error
        except RecursionError as error:
            raise _invalid(path, f"nested more than {MAX_DEPTH} levels deep") from error
        except Exception as error:  # the library trips over bad directives and escapes in many ways
            raise _invalid(path, f"not valid YAML: {error}") from error
        if yaml.resolver.processing_version != _VERSION:
            # Its numbers of base 60 take time that grows with the square of their length.
            raise _invalid(path, "only YAML 1.2 is supported: remove the %YAML line")
        if root is None:
            raise _invalid(path, "the file is empty")
        if not isinstance(root, MappingNode):
            raise _invalid(path, "must be a mapping (lines of the form 'key: value')")
        reader = _Reader(path, yaml)
        data = reader.value(root, ())
        if reader.problems:
            raise PipelineInvalid(sorted(reader.problems))
        return cls(path, data, reader.positions)

    def position(self, key_path: Sequence[str | int]) -> tuple[int, int]:
        """Return line and column, from 1, of a key or list item, or of its nearest parent that is there."""
        path = tuple(key_path)
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions.get(path, (1, 1))

    def problem(self, key_path: Sequence[str | int], message: str) -> Problem:
        """Return *message* as a mistake at *key_path*."""
        return _problem(self.path, self.position(key_path), tuple(key_path), message)

    def has(self, key_path: Sequence[str | int]) -> bool:
        """Return whether the file has a key or an item there."""
        return not key_path or tuple(key_path) in self.positions


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
            raise _invalid(self.path, f"more than {MAX_VALUES} values (an alias counts as all it stands for)")
        if len(key_path) > MAX_DEPTH:
            raise PipelineInvalid([self._problem(node, (), f"nested more than {MAX_DEPTH} levels deep")])
        if isinstance(node, MappingNode) and node.tag == _TAG + "map":
            return dict(self._items(node, key_path))
        if isinstance(node, SequenceNode) and node.tag == _TAG + "seq":
            return [self._item(item, (*key_path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and node.tag in _TEXT:
            if _SURROGATE.search(node.value):
                self.problems.append(
                    self._problem(node, key_path, "half of a surrogate pair is no character")
                )
            return node.value
        if isinstance(node, ScalarNode) and node.tag in _TYPED:
            try:
                return self._constructor.construct_object(node)
            except Exception:  # noqa: BLE001 - the library trips over what a tag promised in many ways
                kind = node.tag.removeprefix(_TAG)
                self.problems.append(self._problem(node, key_path, f"'{node.value:.40}' is no {kind}"))
                return None
        self.problems.append(self._problem(node, key_path, f"YAML tags ({node.tag}) are not supported"))
        return None

    def _items(self, node: MappingNode, key_path: KeyPath) -> Iterator[tuple[str, Any]]:
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                self.problems.append(self._problem(key, key_path, "a key must be text"))
                continue
            path = (*key_path, key.value)
            if key.tag == _TAG + "merge":
                self.problems.append(self._problem(key, path, "merge keys are not supported"))
            if path in self.positions:
                first = self.positions[path][0]
                self.problems.append(self._problem(key, path, f"this key is in line {first} already"))
            else:
                self.positions[path] = _start(key)
            yield key.value, self.value(value, path)

    def _item(self, node: Node, key_path: KeyPath) -> Any:
        self.positions[key_path] = _start(node)
        return self.value(node, key_path)

    def _problem(self, node: Node, key_path: KeyPath, message: str) -> Problem:
        return _problem(self.path, _start(node), key_path, message)


def _start(node: Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _position_of(text_before: str) -> tuple[int, int]:
    return text_before.count("\n") + 1, len(text_before) - text_before.rfind("\n")


def _invalid(path: str, message: str, line: int = 1, column: int = 1) -> PipelineInvalid:
    return PipelineInvalid([_problem(path, (line, column), (), message)])


def _problem(path: str, position: tuple[int, int], key_path: KeyPath, message: str) -> Problem:
    key = ".".join(map(str, key_path))
    return Problem(printable(path), *position, printable(key), printable(message))
