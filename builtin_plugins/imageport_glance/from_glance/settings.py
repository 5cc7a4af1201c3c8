"""The options of several files together: the last one counts, and ``$name`` stands for another option."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from string import Template
from typing import TypeVar

from imageport.errors import Problem
from imageport_glance.from_glance.oslo_file import Setting
from imageport_glance.from_glance.yaml_text import Leaf, Value

#: Characters of one value with its variables filled in.
MAX_VALUE = 64 << 10

#: Variables that stand for one another.
MAX_DEPTH = 20

Parsed = TypeVar("Parsed")


class _Reference(Template):
    # As oslo.config has it; a dot separates section and option.
    idpattern = r"[_a-z][\._a-z0-9]*"


class Settings:
    """The settings in the files.

    ``problems`` collects values that are invalid for their options, and ``referenced`` the settings that others use.
    """

    def __init__(self, settings: Iterable[Setting]) -> None:
        self.problems: list[Problem] = []
        self.referenced: set[Setting] = set()
        self._sections: dict[str, dict[str, list[Setting]]] = {}
        self._values: dict[Setting, str] = {}
        for setting in settings:
            # oslo.config does not mind in which case a section is written.
            section = self._sections.setdefault(setting.section.casefold(), {})
            section.setdefault(setting.name, []).append(setting)

    def __iter__(self) -> Iterator[Setting]:
        """Return the settings that count: of each option the last one."""
        return (found[-1] for section in self._sections.values() for found in section.values())

    def find(self, section: str, name: str) -> Setting | None:
        """Return the setting of an option that counts, or None when no file sets it."""
        found = self.every(section, name)
        return found[-1] if found else None

    def every(self, section: str, name: str) -> list[Setting]:
        """Return all settings of an option that may be given several times."""
        return self._sections.get(section.casefold(), {}).get(name, [])

    def section(self, name: str) -> list[Setting]:
        """Return the settings of a section that count."""
        return [found[-1] for found in self._sections.get(name.casefold(), {}).values()]

    def read(self, section: str, name: str, parse: Callable[[str], Parsed]) -> tuple[Parsed, Setting] | None:
        """Return the value of an option as *parse* understands it; a mistake is noted in ``problems``."""
        setting = self.find(section, name)
        if setting is None:
            return None
        try:
            return parse(self._expanded(setting, ())), setting
        except ValueError as error:
            self.problems.append(setting.problem(str(error)))
            return None

    def leaf(self, section: str, name: str, parse: Callable[[str], Value]) -> Leaf | None:
        """Return the value of an option for a YAML file, or None when no file sets it."""
        found = self.read(section, name, parse)
        return Leaf(found[0], (found[1],)) if found else None

    def _expanded(self, setting: Setting, open_: tuple[Setting, ...]) -> str:
        if setting in open_ or len(open_) > MAX_DEPTH:
            raise ValueError(f"{setting.origin} is defined by itself, or by too many others in turn")
        if setting not in self._values:
            self._values[setting] = self._filled_in(setting, (*open_, setting))
        return self._values[setting]

    def _filled_in(self, setting: Setting, open_: tuple[Setting, ...]) -> str:
        room = MAX_VALUE

        def replacement(found: re.Match[str]) -> str:
            nonlocal room
            value = self._replacement(found, setting, open_)
            # Counted before the text is put together: a small file can stand for more than the memory holds.
            room -= len(value)
            if room < 0:
                raise ValueError(
                    f"the value is longer than {MAX_VALUE} characters with its variables filled in"
                )
            return value

        return _Reference.pattern.sub(replacement, setting.text.replace(r"\$", "$$"))

    def _replacement(self, found: re.Match[str], setting: Setting, open_: tuple[Setting, ...]) -> str:
        name = found["named"] or found["braced"]
        if name is None:
            return "$" if found["escaped"] else found[0]
        section, _, option = name.rpartition(".")
        other = self.find(section or setting.section, option) or self.find(section or "DEFAULT", option)
        if other is None:
            raise ValueError(
                f"${name} is set in none of these files: write its value here, or give the file that has it"
            )
        self.referenced.add(other)
        return self._expanded(other, open_)
