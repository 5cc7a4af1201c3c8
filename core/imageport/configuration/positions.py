"""Positions of mistakes in files, and their messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from imageport.errors import PipelineInvalid

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a file: ``file:line:col: key: message``. Lines and columns count from 1."""

    file: str
    line: int
    column: int
    key: str
    message: str

    def __str__(self) -> str:
        key = f" {self.key}:" if self.key else ""
        return f"{self.file}:{self.line}:{self.column}:{key} {self.message}"


def problem_at(path: str, position: tuple[int, int], key_path: KeyPath, message: str) -> Problem:
    """Return *message* as a mistake at *key_path*, which stands at *position* (line and column) of a file."""
    key = ".".join(map(str, key_path))
    return Problem(printable(path), *position, printable(key), printable(message))


def invalid_file(path: str, message: str, line: int = 1, column: int = 1) -> PipelineInvalid:
    """Return the error of a file that cannot be used at all."""
    return PipelineInvalid([problem_at(path, (line, column), (), message)])


def position_of_end(text: str) -> tuple[int, int]:
    """Return line and column of what follows *text* in a file."""
    return text.count("\n") + 1, len(text) - text.rfind("\n")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the nearest of *known*, or nothing when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""


def printable(text: str) -> str:
    """Return *text* with every character escaped that could move the cursor or forge a line of a message."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
