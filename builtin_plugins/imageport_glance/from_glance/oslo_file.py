"""Configuration files of OpenStack services, in the syntax that oslo.config documents and reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from imageport.configuration import MAX_FILE_SIZE
from imageport.errors import PipelineInvalid, Problem
from imageport.text import printable


@dataclass(frozen=True, slots=True)
class Setting:
    """One option as a file sets it. ``text`` is its value as written, before variables are filled in."""

    section: str
    name: str
    text: str = field(repr=False)
    path: str
    line: int

    @property
    def origin(self) -> str:
        """The option and its file, for people."""
        return f"{Path(self.path).name} [{self.section}] {self.name}"

    def problem(self, message: str) -> Problem:
        """Return *message* as a mistake of this option."""
        key = printable(f"[{self.section}] {self.name}")
        return Problem(printable(self.path), self.line, 1, key, printable(message))


def read_text(path: str) -> str:
    """Return the text of the file at *path*. Raises ``PipelineInvalid`` unless it is text of a sensible size."""
    try:
        if not Path(path).is_file():
            reason = (
                "this is not a regular file"
                if Path(path).exists()
                else "no such file: check the spelling and the folder"
            )
            raise PipelineInvalid([_problem(path, 1, reason)])
        with Path(path).open("rb") as file:
            content = file.read(MAX_FILE_SIZE + 1)
    except OSError as error:
        raise PipelineInvalid([_problem(path, 1, f"cannot be read: {error.strerror}")]) from error
    if len(content) > MAX_FILE_SIZE:
        raise PipelineInvalid([_problem(path, 1, f"the file is larger than {MAX_FILE_SIZE} bytes")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PipelineInvalid([_problem(path, line, "this is not UTF-8 text")]) from error


def parse(text: str, path: str) -> list[Setting]:
    """Return the options that *text* sets, in its order; *path* names it in messages.

    Raises ``PipelineInvalid`` with every line that oslo.config would refuse, and every one that cannot be printed.
    """
    problems: list[Problem] = []
    found = list(_settings(text, path, problems))
    if problems:
        raise PipelineInvalid(problems)
    return found


def _settings(text: str, path: str, problems: list[Problem]) -> Iterator[Setting]:
    section: str | None = None
    first: Setting | None = None
    more: list[str] = []
    for number, written in enumerate(text.split("\n"), start=1):
        line = written.rstrip()
        is_comment = line.startswith(("#", ";"))
        if not is_comment and not line.replace("\t", " ").isprintable():
            problems.append(
                _problem(path, number, "there is a character in this line that cannot be printed")
            )
            continue
        if line.startswith((" ", "\t")) and first:
            more.append(line.strip())
            continue
        if first:
            yield replace(first, text="\n".join([first.text, *more]))
        first, more = None, []
        if line.startswith("["):
            section = line[1:-1]
            if not section or not line.endswith("]"):
                problems.append(_problem(path, number, "a section is written [name]"))
        elif line and not is_comment:
            first = _assignment(line, section, path, number, problems)
    if first:
        yield replace(first, text="\n".join([first.text, *more]))


def _assignment(
    line: str, section: str | None, path: str, number: int, problems: list[Problem]
) -> Setting | None:
    equals, colon = line.find("="), line.find(":")
    end = min((place for place in (equals, colon) if place >= 0), default=0)
    name = line[:end].strip()
    if line[0].isspace():
        problems.append(_problem(path, number, "this line continues nothing: begin it at the left margin"))
    elif not name:
        problems.append(_problem(path, number, "an option is written name = value"))
    elif section is None:
        problems.append(_problem(path, number, "this option stands before the first [section]"))
    else:
        return Setting(section, name, _unquoted(line[end + 1 :].strip()), path, number)
    return None


def _unquoted(value: str) -> str:
    return value[1:-1] if value and value[0] in "\"'" and value[0] == value[-1] else value


def _problem(path: str, line: int, message: str) -> Problem:
    return Problem(printable(path), line, 1, "", message)
