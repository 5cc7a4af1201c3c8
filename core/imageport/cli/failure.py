"""Errors on standard error: what happened, where, and what to do."""

from __future__ import annotations

import logging
import sys
import traceback

import typer

from imageport.configuration.positions import printable
from imageport.errors import ImageportError, PipelineInvalid


def show_error(error: ImageportError) -> None:
    """Print *error* for a person, without a traceback."""
    if isinstance(error, PipelineInvalid):
        for problem in error.problems:
            typer.echo(printable(str(problem)), err=True)
        return
    typer.echo(f"error: {printable(error.message)}", err=True)
    if where := error.where():
        typer.echo(f"  where: {printable(where)}", err=True)
    if error.hint:
        typer.echo(f"  hint: {printable(error.hint)}", err=True)


def show_defect(error: Exception) -> None:
    """Print one line about an error that should not have happened."""
    typer.echo(
        f"internal error: {type(error).__name__}: {printable(str(error))} (--debug shows where it happened)",
        err=True,
    )


def show_traceback(error: BaseException) -> None:
    """Print the traceback of *error*, for ``--debug``."""
    for line in "".join(traceback.format_exception(error)).splitlines():
        typer.echo(printable(line), err=True)


def set_up_logging(*, debug: bool) -> None:
    """Send warnings, and with *debug* everything, to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(debug=debug))
    logging.basicConfig(level=logging.INFO if debug else logging.WARNING, handlers=[handler])
    logging.getLogger("imageport").setLevel(logging.DEBUG if debug else logging.WARNING)
    # The inspector of images warns of what then becomes an error of ours.
    logging.getLogger("oslo_utils").setLevel(logging.DEBUG if debug else logging.ERROR)


class _OneLine(logging.Formatter):
    """Log lines without control characters, and without tracebacks unless they are asked for."""

    def __init__(self, *, debug: bool) -> None:
        super().__init__()
        self._debug = debug

    def format(self, record: logging.LogRecord) -> str:
        line = f"{record.levelname.lower()}: {printable(record.getMessage())}"
        if not (self._debug and record.exc_info):
            return line
        trace = self.formatException(record.exc_info).splitlines()
        return "\n".join([line, *map(printable, trace)])
