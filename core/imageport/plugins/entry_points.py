"""Objects that installed distributions supply under a name. Their metadata is read; none of them is imported.

Only the metadata that the entry points specification of the Python Packaging Authority needs is read, in a tenth of the
time that the import of ``importlib.metadata`` takes: every start of a command looks for commands.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, ClassVar, TypeVar

from imageport.contract import GROUP as CONTRACTS
from imageport.contract import misfit
from imageport.errors import PluginBroken
from imageport.text import NAME

#: Bytes of the largest file of metadata that is read.
MAX_SIZE = 1 << 20

_log = logging.getLogger(__name__)

#: Output and warnings have one destination for all threads: two threads that redirect them would not restore it.
_IMPORTING = threading.RLock()

#: The file with name and version in a folder of metadata, by the ending of its name.
_METADATA = {".dist-info": "METADATA", ".egg-info": "PKG-INFO"}

_FIELDS = re.compile(r"^(Name|Version):[ \t]*(.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """An object that a distribution announces under a name, not imported yet.

    ``distribution`` is its name and version, ``value`` is the place of the object, as ``module:object``, and
    ``conflicts`` are the other distributions that announce the same name, and ``contracts`` the versions of the
    contract that its distribution states. ``kind`` names such objects in errors.
    """

    kind: ClassVar[str] = "entry point"

    name: str
    distribution: str
    value: str
    conflicts: tuple[str, ...] = ()
    contracts: tuple[str, ...] = ()

    def require_usable(self) -> None:
        """Raise ``PluginBroken`` for a name that is not valid or not unique, and for a contract of another host."""
        if self.conflicts:
            suppliers = " and ".join((self.distribution, *self.conflicts))
            raise PluginBroken(
                f"{self.kind} '{self.name}' is supplied by {suppliers}", hint="uninstall all but one of them"
            )
        if not NAME.fullmatch(self.name):
            raise self.broken("has no proper name: letters, digits, '_', '.' and '-', at most 64")
        if reason := misfit(self.contracts, self.distribution):
            raise self.broken(*reason)

    def import_object(self) -> Any:
        """Import the object. Its output goes to standard error. Raises ``PluginBroken`` for all errors."""
        self.require_usable()
        try:
            with _IMPORTING, redirect_stdout(sys.stderr), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return self.find_object()
        except (KeyboardInterrupt, PluginBroken):
            raise
        except BaseException as error:
            # A module may even raise SystemExit, which must not end an unrelated command.
            raise self.broken(f"cannot be imported: {type(error).__name__}: {error}") from error

    def find_object(self) -> Any:
        """Import the object, without a guard: any error may arise."""
        module, _, attributes = self.value.partition("[")[0].partition(":")
        found: Any = import_module(module.strip())
        for attribute in filter(None, attributes.strip().split(".")):
            found = getattr(found, attribute)
        return found

    def broken(self, reason: str, hint: str = "") -> PluginBroken:
        """Return the error that names this object, its distribution and the *reason*."""
        error = PluginBroken(
            f"{self.kind} '{self.name}' of {self.distribution} {reason}",
            hint=hint or f"update or uninstall {self.distribution.partition(' ')[0]}",
        )
        error.distribution = self.distribution
        return error


E = TypeVar("E", bound=EntryPoint)


def entry_points(group: str, kind: type[E]) -> dict[str, E]:
    """Return the entry points of *group* that the distributions on the module path announce, by name."""
    found: dict[str, E] = {}
    seen: set[str] = set()
    for distribution, values, contracts in _announced(group):
        # A distribution that comes again further down the path, below an editable install, is never imported.
        normalized = re.sub(r"[-_.]+", "-", distribution.partition(" ")[0]).lower()
        if normalized in seen:
            continue
        seen.add(normalized)
        for name, value in values.items():
            known = found.get(name)
            found[name] = (
                kind(name, distribution, value, (), contracts)
                if known is None
                else replace(known, conflicts=(*known.conflicts, distribution))
            )
    return found


def _announced(group: str) -> Iterator[tuple[str, dict[str, str], tuple[str, ...]]]:
    """Return the distributions on the module path that have entry points of *group*, in its order.

    With each come these entry points, and the versions of the contract that it states.
    """
    for folder in dict.fromkeys(entry or "." for entry in sys.path):
        try:
            names = os.listdir(folder)  # noqa: PTH208 - a start has no time for a path of each of hundreds of files
        except NotADirectoryError:
            yield from _in_archive(group, folder)
            continue
        except OSError:
            continue
        for name in names:
            metadata = _METADATA.get(name[name.rfind(".") :].lower())
            if metadata is None:
                continue
            info = f"{folder}/{name}"
            try:
                announced = _read(f"{info}/entry_points.txt")
                values = _values(group, announced)
                if values:
                    yield _supplier(_read(f"{info}/{metadata}")), values, tuple(_values(CONTRACTS, announced))
            except (OSError, ValueError):
                _log.info("the metadata in %s cannot be read", info, exc_info=True)


def _in_archive(group: str, archive: str) -> Iterator[tuple[str, dict[str, str], tuple[str, ...]]]:
    """Read the distributions in a zip file on the module path."""
    from importlib.metadata import distributions  # noqa: PLC0415 - slow to import, and few paths have archives

    for distribution in distributions(path=[archive]):
        announced = distribution.read_text("entry_points.txt") or ""
        values = _values(group, announced)
        if values:
            metadata = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
            yield _supplier(metadata), values, tuple(_values(CONTRACTS, announced))


def _read(path: str) -> str:
    """Return the text of a file of metadata; that of a missing one is empty."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            content = file.read(MAX_SIZE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    if len(content) > MAX_SIZE:
        raise ValueError(f"{path} has more than {MAX_SIZE} bytes")
    return content.decode()


def _supplier(metadata: str) -> str:
    """Return name and version in the core *metadata* of a distribution."""
    fields: dict[str, str] = {}
    for field, value in _FIELDS.findall(metadata.replace("\r\n", "\n").partition("\n\n")[0]):
        fields.setdefault(field, value)
    return (
        " ".join(fields[field] for field in ("Name", "Version") if field in fields)
        or "an unnamed distribution"
    )


def _values(group: str, text: str) -> dict[str, str]:
    """Return the values in the section *group* of an ``entry_points.txt``, by name; the first of a name counts."""
    found: dict[str, str] = {}
    # Few distributions have the group: the files of the others need not be parsed.
    if group not in text:
        return found
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1].strip()
        elif section == group and line and not line.startswith(("#", ";")):
            name, equals, value = line.partition("=")
            if not equals:
                raise ValueError(f"{line!r} is not an entry point")
            found.setdefault(name.strip(), value.strip())
    return found
