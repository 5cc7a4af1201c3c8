"""YAML files with the position of every key, for messages about mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imageport.configuration.positions import invalid_file, position_of_end, problem_at
from imageport.errors import KeyPath, Problem

#: Bytes of the largest file that is read.
MAX_FILE_SIZE = 1 << 20


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
                raise invalid_file(name, "no such file: check the spelling and the folder")
            if not Path(path).is_file():
                raise invalid_file(name, "this is not a regular file")
            with Path(path).open("rb") as file:
                content = file.read(MAX_FILE_SIZE + 1)
        except OSError as error:
            raise invalid_file(name, f"cannot be read: {error.strerror}") from error
        if len(content) > MAX_FILE_SIZE:
            raise invalid_file(name, f"the file is larger than {MAX_FILE_SIZE} bytes")
        try:
            text = content.decode()
        except UnicodeDecodeError as error:
            line, column = position_of_end(content[: error.start].decode())
            raise invalid_file(name, "this is not UTF-8 text", line, column) from error
        return cls.parse(text, name)

    @classmethod
    def parse(cls, text: str, path: str = "<string>") -> YamlFile:
        """Read YAML from *text*; *path* names it in messages. Raises ``PipelineInvalid`` like ``load``."""
        from imageport.configuration.yamlparsing import parsed  # noqa: PLC0415 - the parser is slow to import

        return cls(path, *parsed(text, path))

    def position(self, key_path: Sequence[str | int]) -> tuple[int, int]:
        """Return line and column, from 1, of a key or list item, or of its nearest parent that is there."""
        path = tuple(key_path)
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions.get(path, (1, 1))

    def problem(self, key_path: Sequence[str | int], message: str) -> Problem:
        """Return *message* as a mistake at *key_path*."""
        return problem_at(self.path, self.position(key_path), tuple(key_path), message)

    def has(self, key_path: Sequence[str | int]) -> bool:
        """Return whether the file has a key or an item there."""
        return not key_path or tuple(key_path) in self.positions
