"""The commands by name. Each is imported and built when it is asked for: all of them take longer than most do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

#: Where the commands are, in the order of the help: functions, and groups of further commands.
_HOMES = {
    "run": "run:run",
    "plan": "plan:plan",
    "validate": "validate:validate",
    "schema": "schema:schema",
    "doctor": "doctor:doctor",
    "gc": "gc:gc",
    "upgrade-db": "upgrade_db:upgrade_db",
    "from-glance": "from_glance:from_glance",
    "images": "images:app",
    "tasks": "tasks:app",
    "stores": "stores:app",
    "plugins": "plugins:app",
}


class Commands(TyperGroup):
    """The group of all commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = _WhenAsked()  # type: ignore[assignment]


class _WhenAsked(Mapping[str, Any]):
    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._built:
            self._built[name] = _built(name, _HOMES[name])
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_HOMES)

    def __len__(self) -> int:
        return len(_HOMES)


def _built(name: str, home: str) -> Any:
    module, _, attribute = home.partition(":")
    app = getattr(import_module(f"imageport.cli.{module}"), attribute)
    if not isinstance(app, typer.Typer):
        function, app = app, typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name)(function)
    command = typer.main.get_command(app)
    command.name = name
    return command
