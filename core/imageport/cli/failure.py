"""Errors on standard error: the event, the place, and the next step."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

import typer

from imageport.errors import ImageportError, PipelineInvalid
from imageport.redaction import redact
from imageport.text import printable

if TYPE_CHECKING:
    from imageport.cli.commands import InstalledCommand


def show_error(error: ImageportError, secrets: Collection[str]) -> None:
    """Print *error* for a person, without a traceback and without *secrets*."""
    if isinstance(error, PipelineInvalid):
        for problem in error.problems:
            typer.echo(_shown(str(problem), secrets), err=True)
        return
    typer.echo(f"error: {_shown(error.message, secrets)}", err=True)
    if where := error.where():
        typer.echo(f"  where: {printable(where)}", err=True)
    if error.hint:
        typer.echo(f"  hint: {_shown(error.hint, secrets)}", err=True)


def show_defect(error: BaseException, command: InstalledCommand | None, secrets: Collection[str]) -> None:
    """Print one line about an unexpected *error*, which names the distribution of a *command* of another package."""
    supplier = (
        f" in command '{command.name}' of {command.distribution}" if command and not command.is_own else ""
    )
    typer.echo(
        f"internal error{printable(supplier)}: {type(error).__name__}: {_shown(str(error), secrets)} "
        "(--debug shows where it happened)",
        err=True,
    )


def show_traceback(error: BaseException, secrets: Collection[str]) -> None:
    """Print the traceback of *error*, for ``--debug``."""
    for line in redact("".join(traceback.format_exception(error)), secrets).splitlines():
        typer.echo(printable(line), err=True)


def set_up_logging(*, debug: bool, secrets: Callable[[], Collection[str]]) -> None:
    """Send warnings, and with *debug* everything, to standard error, without the *secrets* of that moment."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(debug=debug, secrets=secrets))
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, handlers=[handler])
    logging.getLogger("imageport").setLevel(logging.DEBUG if debug else logging.WARNING)
    # The inspector of images warns of what then becomes an error of ours.
    logging.getLogger("oslo_utils").setLevel(logging.DEBUG if debug else logging.ERROR)


class _OneLine(logging.Formatter):
    """Log lines without control characters, and without tracebacks unless they are asked for."""

    def __init__(self, *, debug: bool, secrets: Callable[[], Collection[str]]) -> None:
        super().__init__()
        self._debug = debug
        self._secrets = secrets

    def format(self, record: logging.LogRecord) -> str:
        line = f"{record.levelname.lower()}: {_shown(record.getMessage(), self._secrets())}"
        if not (self._debug and record.exc_info):
            return line
        trace = redact(self.formatException(record.exc_info), self._secrets()).splitlines()
        return "\n".join([line, *map(printable, trace)])


def _shown(text: str, secrets: Collection[str]) -> str:
    return printable(redact(text, secrets))
