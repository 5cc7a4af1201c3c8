"""``imageport doctor``: is everything here that imports need?"""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

from imageport.cli.options import Json
from imageport.cli.output import print_json, print_line

if TYPE_CHECKING:
    from imageport.app import Diagnosis, Imageport

#: How the state of each line is shown.
_MARKS = {"ok": "ok   ", "warning": "WARN ", "error": "WRONG"}


def doctor(
    ctx: typer.Context,
    pipeline: Annotated[
        str | None,
        typer.Argument(metavar="PIPELINE", help="Examine the stores and observers of this file, too."),
    ] = None,
    json: Json = False,
) -> None:
    """Check Python, plugins, programs, site file, catalog, staging, stores, observers and leftovers."""
    from imageport.errors import ExitCode

    imageport: Imageport = ctx.obj
    # Standard output is for the findings, whatever a plugin prints.
    with redirect_stdout(sys.stderr):
        found = list(imageport.examine(pipeline))
    if json:
        print_json([diagnosis.as_dict() for diagnosis in found])
    else:
        for diagnosis in found:
            show(diagnosis)
    if not all(diagnosis.ok for diagnosis in found):
        raise typer.Exit(ExitCode.IMPORT_FAILED)


def show(diagnosis: Diagnosis) -> None:
    """Print one finding, with its hint below."""
    print_line(f"{_MARKS[diagnosis.severity]}  {diagnosis.subject}: {diagnosis.message}")
    if diagnosis.hint:
        print_line(f"       hint: {diagnosis.hint}")
