"""Progress of ``run``: an installed observer, or events as JSON lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, TextIO

import typer

from imageport.errors import UsageError
from imageport.events import Event, ImageEvent, ReportEvent
from imageport.hookspecs import hookimpl
from imageport.plugin import NoConfig, Plugin
from imageport.plugins.binding import BoundStep
from imageport.plugins.registry import PluginRegistry
from imageport.redaction import redact_tree
from imageport.values import ImageRecord

log = logging.getLogger(__name__)


def named_observer(name: str, registry: PluginRegistry) -> tuple[BoundStep, ...]:
    """Return the installed observer called *name*, or nothing when it cannot be used."""
    try:
        installed = registry.find(name)
        plugin_class = installed.load()
        plugin = plugin_class(plugin_class.config_model())
        return (BoundStep.bind(name, installed.distribution, plugin),)
    except UsageError as error:
        log.warning("no progress is shown: %s", error.message)
        return ()


def json_lines(
    secrets: Collection[str], file: TextIO, shown: Callable[[ImageRecord], ImageRecord]
) -> BoundStep:
    """Return an observer that prints to *file* every event but the report, which the command prints itself.

    Records are printed as *shown* to the caller.
    """
    return BoundStep.bind("json", "imageport", _Lines(secrets, file, shown))


def print_json_line(value: dict[str, Any], secrets: Collection[str], file: TextIO) -> None:
    """Print *value* to *file* as one line of JSON, without *secrets*."""
    typer.echo(json.dumps(redact_tree(value, secrets), default=str), file=file)


class _Lines(Plugin[NoConfig]):
    """Print events as JSON lines."""

    def __init__(
        self, secrets: Collection[str], file: TextIO, shown: Callable[[ImageRecord], ImageRecord]
    ) -> None:
        super().__init__(NoConfig())
        self._shown = shown
        self._secrets = secrets
        self._file = file

    @hookimpl
    def on_progress(self, event: Event) -> None:
        if isinstance(event, ReportEvent):
            return
        if isinstance(event, ImageEvent):
            event = replace(event, record=self._shown(event.record))
        print_json_line(event.as_dict(), self._secrets, self._file)
