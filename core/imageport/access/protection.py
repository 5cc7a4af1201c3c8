"""Properties that only some may write or read: Glance's file of property protections, as it is."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from imageport.access.policy import Rule, scope_of
from imageport.access.visibility import EVERYTHING, NOTHING, Scope, admits
from imageport.errors import PipelineInvalid, Problem
from imageport.text import did_you_mean, printable
from imageport.values import RESERVED_PREFIX, Caller, ImageRecord

Operation = Literal["create", "read", "update", "delete"]
OPERATIONS: tuple[Operation, ...] = get_args(Operation)

#: Bytes of the largest file that is read.
MAX_FILE_SIZE = 1 << 20

_SECTION = re.compile(r"\[(.+)\]")


class PropertyProtections(BaseModel):
    """``property_protections:`` of the site file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Path = Field(description="File of property protections, written as for Glance.")
    format: Literal["roles", "policies"] = Field(
        default="roles",
        description="Format of the values of create, read, update and delete: roles, or the name of one rule.",
    )
    rules: dict[str, Rule] = Field(
        default_factory=dict, description="The rules that a file in the format policies names."
    )


@dataclass(frozen=True, slots=True)
class _Section:
    names: re.Pattern[str]
    permissions: Mapping[Operation, str]


class Protections:
    """Which properties a caller may create, read, update and delete."""

    def __init__(self, settings: PropertyProtections | None) -> None:
        """Read the file that *settings* name; without any, nothing is protected.

        The file is the operator's: a regular expression that takes for ever is not guarded against. Raises
        ``PipelineInvalid`` with every mistake in the file.
        """
        self._rules: Mapping[str, Rule] = {}
        self._sections: tuple[_Section, ...] | None = None
        if settings is not None:
            self._rules = settings.rules if settings.format == "policies" else {}
            reader = _Reader(settings)
            self._sections = tuple(reader.sections())
            if reader.problems:
                raise PipelineInvalid(sorted(reader.problems))

    def allow(self, operation: Operation, name: str, caller: Caller, record: ImageRecord) -> bool:
        """Return whether *caller* may do this with the property *name* of *record*."""
        return admits(self.scope(operation, name, caller), record)

    def scope(self, operation: Operation, name: str, caller: Caller) -> Scope:
        """Return the images with whose property *name* the *caller* may do this; the first section that fits decides.

        Reserved properties can be read by all callers and written by none.
        """
        if name.startswith(RESERVED_PREFIX):
            return EVERYTHING if operation == "read" else NOTHING
        if self._sections is None:
            return EVERYTHING
        section = next((section for section in self._sections if section.names.search(name)), None)
        return NOTHING if section is None else self._permitted(section.permissions[operation], caller)

    def _permitted(self, permission: str, caller: Caller) -> Scope:
        if permission in self._rules:
            return scope_of(self._rules[permission], caller)
        roles = _roles(permission)
        mine = {role.casefold() for role in caller.roles}
        # A role may be called '!', too.
        return EVERYTHING if "!" not in roles and ("@" in roles or not roles.isdisjoint(mine)) else NOTHING


class _Reader:
    """Reads one file, noting mistakes with their lines."""

    def __init__(self, settings: PropertyProtections) -> None:
        self.problems: list[Problem] = []
        self._settings = settings
        self._lines: list[str] = []

    def sections(self) -> Iterator[_Section]:
        parser = configparser.ConfigParser(interpolation=None)
        try:
            text = self._text()
            self._lines = text.splitlines()
            parser.read_string(text, str(self._settings.file))
        except OSError as error:
            self._add(1, f"cannot be read: {error.strerror}")
        except UnicodeDecodeError:
            self._add(1, "this is not UTF-8 text")
        except configparser.MissingSectionHeaderError as error:
            self._add(error.lineno, "a line before the first [section]")
        except configparser.ParsingError as error:
            for line, _ in error.errors:
                self._add(line, "this line does not have the form 'create = ROLES'")
        except configparser.DuplicateSectionError as error:
            self._add(error.lineno or 1, f"there is a section [{error.section}] already")
        except configparser.DuplicateOptionError as error:
            self._add(error.lineno or 1, f"[{error.section}] has '{error.option}' already")
        else:
            if not parser.sections():
                self._add(1, "no [section]: no caller could use any property; write one, such as [.*]")
            for name in parser.sections():
                yield from self._section(name, parser[name])

    def _text(self) -> str:
        with self._settings.file.open("rb") as file:
            content = file.read(MAX_FILE_SIZE + 1)
        if len(content) > MAX_FILE_SIZE:
            raise PipelineInvalid([self._problem(1, f"the file is larger than {MAX_FILE_SIZE} bytes")])
        return content.decode()

    def _section(self, name: str, options: configparser.SectionProxy) -> Iterator[_Section]:
        line = self._line_of(name)
        permissions: dict[Operation, str] = {}
        for operation in OPERATIONS:
            if operation in options:
                permissions[operation] = self._permission(options[operation].strip(), line, operation)
            else:
                self._add(line, f"[{name}] lacks '{operation}': write '{operation} = !' for no caller")
        try:
            names = re.compile(name)
        except re.error as error:
            self._add(line, f"[{name}] is not a regular expression: {error}")
        else:
            yield _Section(names, permissions)

    def _permission(self, text: str, section_line: int, operation: str) -> str:
        """Return the value of *operation*, and note its mistakes."""
        line = self._line_of(operation, section_line)
        if self._settings.format == "policies":
            known = self._settings.rules
            if text not in known and text not in {"@", "!", ""}:
                near = did_you_mean(text, known) or f" (there are: {', '.join(known) or 'none'})"
                self._add(line, f"property_protections.rules has no rule '{text}'{near}")
        elif {"@", "!"} <= _roles(text):
            self._add(line, f"'{operation}' has both '@' (all callers) and '!' (none)")
        return text

    def _line_of(self, name: str, section_line: int = 0) -> int:
        """Return the line, from 1, of a section, or of an option behind the line of its section."""
        for number, line in enumerate(self._lines[section_line:], start=section_line + 1):
            header = _SECTION.match(line)
            if header and section_line:
                break
            if header and header[1] == name:
                return number
            if section_line and re.split("[=:]", line)[0].strip().lower() == name:
                return number
        return section_line or 1

    def _add(self, line: int, message: str) -> None:
        self.problems.append(self._problem(line, message))

    def _problem(self, line: int, message: str) -> Problem:
        return Problem(printable(str(self._settings.file)), line, 1, "", printable(message))


def _roles(permission: str) -> set[str]:
    return {role.strip().casefold() for role in permission.split(",")} - {""}
