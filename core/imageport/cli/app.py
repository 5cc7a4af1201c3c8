"""The command line: its global options, its commands, and its errors."""

from __future__ import annotations

import gc
import io
import sys
from typing import Annotated

import typer

from imageport.cli.commands import Commands, Invocation
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
    from imageport.app import Imageport
    from imageport.cli.failure import set_up_logging

    invocation: Invocation = ctx.obj
    invocation.debug = debug
    # The arguments of a command are public: a command of another package can do the same as those of this one.
    ctx.obj = invocation.imageport = Imageport(config)
    set_up_logging(debug=debug, secrets=lambda: invocation.secrets)


def main() -> int:
    """Run the command in ``sys.argv`` and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's character set lacks must not end the command.
            stream.reconfigure(errors="backslashreplace")
    invocation = Invocation()
    # A start makes many objects and keeps nearly all: to look for garbage as often as usual costs more than it finds.
    gc.set_threshold(500_000)
    try:
        typer.main.get_command(app)(prog_name="imageport", obj=invocation)
    except ImageportError as error:
        from imageport.cli.failure import show_error, show_traceback

        if invocation.debug:
            show_traceback(error, invocation.secrets)
        show_error(error, invocation.secrets)
        return error.exit_code
    except BrokenPipeError:
        from imageport.cli.output import give_up_unwritten

        # The reader of the output has closed it, as ``head`` does.
        give_up_unwritten(sys.stdout)
        return ExitCode.IMPORT_FAILED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - people get one line about any error instead of a traceback
        from imageport.cli.failure import show_defect, show_traceback

        if invocation.debug:
            show_traceback(error, invocation.secrets)
        show_defect(error, invocation.command, invocation.secrets)
        return ExitCode.IMPORT_FAILED
    finally:
        invocation.close()
        # The process ends: the collection that Python makes at exit would look at every object of every module.
        gc.freeze()
    return ExitCode.SUCCESS
