"""The names of a new package: distribution, module, class and plugin, all derived from one."""

from __future__ import annotations

import keyword
import re
import sys
from dataclasses import dataclass
from importlib.util import find_spec

from imageport import UsageError
from imageport.text import printable

#: A normalized name of a distribution: the names specification of the Python Packaging Authority.
_NORMALIZED = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

#: Characters of the longest name: names of classes in lines of code stay within the width of a line.
_LONGEST = 40

_PREFIX = "imageport-"


@dataclass(frozen=True, slots=True)
class PackageNames:
    """The names of a package. ``plugin`` is what a pipeline calls it: the distribution, without ``imageport-``."""

    distribution: str
    module: str
    class_name: str
    plugin: str

    @classmethod
    def of(cls, distribution: str) -> PackageNames:
        """Derive all names. Raises ``UsageError`` for a name that cannot be that of a package and of its module."""
        shown = printable(distribution[:80])
        if not _NORMALIZED.fullmatch(distribution):
            normal = re.sub(r"[-_.]+", "-", distribution).strip("-").lower()
            better = f"call it {normal}" if _NORMALIZED.fullmatch(normal) else "call it like acme-scan"
            raise UsageError(
                f"'{shown}' cannot be the name of a package",
                hint=f"{better}: small letters, digits, and single '-' between them",
            )
        if len(distribution) > _LONGEST:
            raise UsageError(
                f"the name '{shown}' has {len(distribution)} characters", hint=f"use at most {_LONGEST}"
            )
        module = distribution.replace("-", "_")
        plugin = distribution.removeprefix(_PREFIX)
        if not module.isidentifier() or keyword.iskeyword(module) or not plugin[0].isalpha():
            raise UsageError(
                f"'{shown}' cannot be the name of a module and a class",
                hint="begin it with a letter, and use no word of the Python language",
            )
        if module in sys.stdlib_module_names or find_spec(module) is not None:
            raise UsageError(
                f"a module '{module}' is there already, in Python or in an installed package",
                hint="choose another name, such as one that begins with that of your organization",
            )
        return cls(distribution, module, "".join(word.capitalize() for word in plugin.split("-")), plugin)
