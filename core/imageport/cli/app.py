"""The command line: its global options, its commands, and what becomes of errors."""

from __future__ import annotations

import gc
import io
import sys
from typing import Annotated

import typer

from imageport.cli.commands import Commands
from imageport.cli.session import Session
from imageport.errors import ExitCode, ImageportError

app = typer.Typer(
    cls=Commands,
    help="Import virtual-machine images: read once, checked completely, written to every store at once.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        import importlib.metadata

        typer.echo(f"imageport {importlib.metadata.version('imageport')}")
        raise typer.Exit


@app.callback()
def _global_options(
    ctx: typer.Context,
    config: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Site file. Without it: IMAGEPORT_CONFIG, ./imageport.yaml, "
            "~/.config/imageport/imageport.yaml, /etc/imageport/imageport.yaml, else defaults.",
        ),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", help="Log everything, and show where errors arise.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit."),
    ] = False,
) -> None:
    from imageport.cli.failure import set_up_logging

    session: Session = ctx.obj
    session.config = config
    session.debug = debug
    set_up_logging(debug=debug, secrets=session.secrets)


def main() -> int:
    """Run the command in ``sys.argv`` and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's character set lacks is no reason to fail.
            stream.reconfigure(errors="backslashreplace")
    session = Session()
    # A start makes many objects and keeps nearly all: to look for garbage as often as usual costs more than it finds.
    gc.set_threshold(500_000)
    try:
        typer.main.get_command(app)(prog_name="imageport", obj=session)
    except ImageportError as error:
        from imageport.cli.failure import show_error, show_traceback

        if session.debug:
            show_traceback(error, session.secrets)
        show_error(error, session.secrets)
        return error.exit_code
    except BrokenPipeError:
        from imageport.cli.output import give_up_unwritten

        # Whoever read the output has seen enough.
        give_up_unwritten(sys.stdout)
        return ExitCode.IMPORT_FAILED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - people get one line about any error instead of a traceback
        from imageport.cli.failure import show_defect, show_traceback

        if session.debug:
            show_traceback(error, session.secrets)
        show_defect(error, session.command, session.secrets)
        return ExitCode.IMPORT_FAILED
    finally:
        session.close()
        # The process ends: the collection that Python makes at exit would look at every object of every module.
        gc.freeze()
    return ExitCode.SUCCESS
