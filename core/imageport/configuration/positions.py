"""Positions of mistakes in files, and their messages."""

from __future__ import annotations

from imageport.errors import KeyPath, PipelineInvalid, Problem
from imageport.text import printable


def problem_at(path: str, position: tuple[int, int], key_path: KeyPath, message: str) -> Problem:
    """Return *message* as a mistake at *key_path*, which stands at *position* (line and column) of a file."""
    key = ".".join(map(str, key_path))
    return Problem(printable(path), *position, printable(key), printable(message))


def invalid_file(path: str, message: str, line: int = 1, column: int = 1) -> PipelineInvalid:
    """Return the error of a file that cannot be used at all."""
    return PipelineInvalid([problem_at(path, (line, column), (), message)])


def position_of_end(text: str) -> tuple[int, int]:
    """Return line and column of the end of *text* in a file."""
    return text.count("\n") + 1, len(text) - text.rfind("\n")
