"""The commands by name: those of this package and of others, found by their entry points.

A command is imported and built when it is used. ``--help`` needs a line about each: commands of other distributions
are imported by a child process for it, whose answers are cached. A name with a dot, ``plugins.certify``, stands for a
command in a group, ``imageport plugins certify``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from imageport.errors import Cancelled, PluginBroken, UsageError
from imageport.plugins.entry_points import EntryPoint, entry_points
from imageport.text import printable

if TYPE_CHECKING:
    from collections.abc import Collection

    from imageport.app import Imageport

GROUP = "imageport.commands"

#: The distribution of this package. Its commands are described without a child process, as they run in this process.
_OWN = "imageport"


class InstalledCommand(EntryPoint):
    """A command that some distribution announces: a function with typer parameters, or a ``typer.Typer``."""

    __slots__ = ()
    kind = "command"

    def load(self) -> Any:
        """Import and build the command. Raises ``PluginBroken`` for all of its mistakes."""
        found = self.import_object()
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=self.name)
        elif callable(found) and not isinstance(found, type):
            app.command(self.name)(found)
        else:
            raise self.broken(
                f"is neither a function nor a typer.Typer but {type(found).__name__} {self.value}"
            )
        try:
            command = typer.main.get_group(app).commands[self.name]
        except Exception as error:
            raise self.broken(f"cannot be built: {type(error).__name__}: {error}") from error
        command.name = self.name.rpartition(".")[2]
        if isinstance(command, TyperGroup):
            command.commands = cast("Any", _Installed(f"{self.name}.", command.commands))
        return command

    @property
    def is_own(self) -> bool:
        """Whether this package alone announces the command."""
        return self.distribution.partition(" ")[0] == _OWN and not self.conflicts


@dataclass
class Invocation:
    """The state of a call that ``main`` needs at its end: its site, ``--debug``, and the command that runs."""

    imageport: Imageport | None = None
    debug: bool = False
    command: InstalledCommand | None = None

    @property
    def secrets(self) -> Collection[str]:
        """The values that neither errors nor log lines may show."""
        return () if self.imageport is None else self.imageport.secrets

    def close(self) -> None:
        """Close the catalog, if it was opened."""
        if self.imageport is not None:
            self.imageport.close()


class Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands: Any = _Installed()

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that is asked for, and note it, so that its errors name its distribution."""
        name, command, rest = super().resolve_command(ctx, args)
        invocation: Invocation | None = ctx.obj
        if invocation is not None and name is not None and isinstance(self.commands, _Installed):
            invocation.command = self.commands.installed[name]
        return name, command, rest

    def invoke(self, ctx: Any) -> Any:
        """Run a command. Raises ``Cancelled`` when a signal ends it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Cancelled(
                "the command was interrupted",
                hint="run it again, or 'imageport gc', which removes what it has left",
            ) from None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a line about each command, also about those that cannot be used."""
        with self._described():
            super().format_commands(ctx, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete the name of a command."""
        with self._described():
            return super().shell_complete(ctx, incomplete)

    @contextmanager
    def _described(self) -> Iterator[None]:
        """Replace the commands of other distributions by stand-ins, which have only a summary."""
        commands = self.commands
        self.commands = commands.described()
        try:
            yield
        finally:
            self.commands = commands


class _Installed(Mapping[str, Any]):
    """The installed commands by name; each is imported when it is first asked for.

    Those of a group are *built* with it; others have names that begin with *prefix*.
    """

    def __init__(self, prefix: str = "", built: Mapping[str, Any] | None = None) -> None:
        self._prefix = prefix
        self._built: dict[str, Any] = dict(built or {})

    @cached_property
    def installed(self) -> Mapping[str, InstalledCommand]:
        """The commands of distributions by name. Raises ``UsageError`` when there is none at all."""
        found = entry_points(GROUP, InstalledCommand)
        if not found:
            raise UsageError(
                "imageport is not installed completely: its metadata announces no command",
                hint="install it again; in a checkout, with: .ci/prepare test",
            )
        prefix = self._prefix
        if prefix:
            mine = {name.removeprefix(prefix): found[name] for name in found if name.startswith(prefix)}
        else:
            groups = {name for name in found if "." not in name}
            mine = {
                name: found[name] for name in found if name in groups or name.partition(".")[0] not in groups
            }
        return {name: mine[name] for name in sorted(mine)}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            command = self.installed[name]
            try:
                self._built[name] = command.load()
            except PluginBroken as error:
                self._built[name] = _Unusable(command, error)
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._built, *self.installed]) if self._prefix else self.installed)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def described(self) -> dict[str, Any]:
        """Return a command for each name, of which only the summary can be used. No other package is imported."""
        summaries = _summaries([command for command in self.installed.values() if not command.is_own])
        return {
            name: self[name] if command.is_own else TyperCommand(name, short_help=summaries[name])
            for name, command in self.installed.items()
        }


class _Unusable(TyperCommand):
    """A command that cannot be used: with any arguments, it raises the *error* with the reason."""

    def __init__(self, command: InstalledCommand, error: PluginBroken) -> None:
        super().__init__(
            command.name,
            short_help=_broken(command, error.message),
            add_help_option=False,
            context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
            rich_markup_mode=None,
        )
        self._error = error

    def invoke(self, ctx: Any) -> Any:
        """Raise the error."""
        raise self._error


def _summaries(commands: list[InstalledCommand]) -> dict[str, str]:
    """Return a line about each of *commands*, which a child process imports unless the cache has the answer."""
    if not commands:
        return {}
    from imageport.configuration.folders import cache_file
    from imageport.plugins.descriptions import describe

    described = describe(commands, cache_file("commands.json", os.environ), by=f"{__name__}:describe_command")
    return {
        command.name: _broken(command, described[command.name].summary)
        if described[command.name].broken
        else printable(described[command.name].summary)
        for command in commands
    }


def describe_command(*fields: Any) -> dict[str, Any]:
    """Return the fields of the ``Description`` of a command; *fields* are those of its ``InstalledCommand``."""
    command = InstalledCommand(*fields)
    try:
        return {"hooks": (), "summary": command.load().get_short_help_str(limit=200), "broken": False}
    except PluginBroken as error:
        return {"hooks": (), "summary": error.message, "broken": True}


def _broken(command: InstalledCommand, reason: str) -> str:
    suppliers = ", ".join((command.distribution, *command.conflicts))
    return printable(f"(broken, of {suppliers}) {reason}")
