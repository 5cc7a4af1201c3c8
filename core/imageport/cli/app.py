"""The command line: its global options, its commands, and its errors."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Final, NoReturn

import typer

from imageport.cli.commands import Commands, Invocation
from imageport.errors import ExitCode, ImageportError

#: Seconds that libraries may take for what they do at the end of the process.
_PATIENCE_AT_EXIT: Final = 5.0

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


def main() -> NoReturn:
    """Run the command in ``sys.argv``, and end the process with its exit code."""
    try:
        code = run()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    end_process(code)


def end_process(code: int) -> NoReturn:
    """End the process with *code*, in spite of plugins that were left behind.

    Python would wait for their threads, and for what their libraries do at exit.
    """
    left = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
    if left:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)
    # A daemon, which goes on while Python waits.
    threading.Thread(target=_exit_soon, args=(code,), daemon=True).start()
    sys.exit(code)


def _exit_soon(code: int) -> None:
    time.sleep(_PATIENCE_AT_EXIT)
    os._exit(code)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _signals() -> Iterator[None]:
    """End the command by ``KeyboardInterrupt`` on the signals that would end the process at once.

    Signals that are ignored (``nohup``) stay ignored.
    """
    numbers = [
        number
        for number in (signal.SIGTERM, signal.SIGHUP)
        if threading.current_thread() is threading.main_thread()
        and signal.getsignal(number) == signal.SIG_DFL
    ]
    for number in numbers:
        signal.signal(number, _interrupt)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def run() -> int:
    """Run the command in ``sys.argv`` and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A name that the terminal's character set lacks must not end the command.
            stream.reconfigure(errors="backslashreplace")
    invocation = Invocation()
    # A start makes many objects and keeps nearly all: to look for garbage as often as usual costs more than it finds.
    gc.set_threshold(500_000)
    try:
        with _signals():
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
