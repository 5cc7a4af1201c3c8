"""The pages about the command and its exit codes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import typer

from imageport import errors
from imageport.cli.app import app
from reference_pages.writing import fenced, prose, required, table


def command_page() -> Iterator[str]:
    """Describe every command."""
    root: Any = typer.main.get_command(app)
    yield "# Commands"
    yield required(root.help, "the command has no help")
    yield "## Global options"
    yield "They stand before the command: `imageport --config site.yaml run ...`."
    yield parameters_table("imageport", root.params)
    for path, command in leaves("imageport", root):
        shown = [
            (param.metavar or param.name.upper())
            if param.required
            else f"[{(param.metavar or param.name.upper()).strip('[]')}]"
            for param in command.params
            if is_argument(param)
        ]
        yield f"## {path}"
        yield fenced(
            "text", " ".join([path, *shown, *(["[OPTIONS]"] if len(shown) < len(command.params) else [])])
        )
        yield required(command.help, f"{path} has no help")
        yield parameters_table(path, command.params)


def exit_code_page() -> Iterator[str]:
    """Describe exit codes and errors."""
    yield "# Exit codes and errors"
    codes = {code: [kind for kind in error_classes() if kind.exit_code == code] for code in errors.ExitCode}
    meanings = {
        errors.ExitCode.SUCCESS: "It worked.",
        errors.ExitCode.IMPORT_FAILED: "The import ran, failed, and was rolled back.",
        errors.ExitCode.USAGE: "The command, a file or a name is wrong, or not allowed. Nothing was done.",
        errors.ExitCode.CONFLICT: "The image's status or lock, or a quota, does not permit this now.",
    }
    yield table(
        ("exit code", "meaning", "errors"),
        [
            (
                str(code.value),
                meanings.get(code) or prose(kinds[0]),
                ", ".join(f"`{kind.code}`" for kind in kinds),
            )
            for code, kinds in codes.items()
        ],
    )
    yield "## Errors"
    yield "The code is what `error.code` of the [report](report.md) holds. Every error has a message and a hint."
    yield table(
        ("code", "class", "exit code", "meaning"),
        [
            (
                f"`{kind.code}`",
                f"`{kind.__name__}`",
                str(kind.exit_code.value),
                prose(kind).replace("\n", " "),
            )
            for kind in error_classes()
        ],
    )


def error_classes() -> list[type[errors.ImageportError]]:
    """Return the classes of errors, in the order of the module."""
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.ImageportError)
    ]


def leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Return every command that does something, with its full name."""
    for name, child in getattr(command, "commands", {"": command}).items():
        if name:
            yield from leaves(f"{path} {name}", child)
        else:
            yield path, command


def parameters_table(path: str, parameters: Iterable[Any]) -> str:
    """Return a table of the arguments and options of a command."""
    rows = []
    for param in parameters:
        if is_argument(param):
            written = f"`{(param.metavar or param.name.upper()).strip('[]')}`"
        else:
            value = "" if param.is_flag else f" {param.metavar or 'TEXT'}"
            written = ", ".join(f"`{option}{value}`" for option in (*param.opts, *param.secondary_opts))
        meaning = required(param.help, f"{path} {param.name} has no help")
        if variable := getattr(param, "envvar", None):
            meaning += f" Environment variable: `{variable}`."
        rows.append((written, meaning))
    return table(("argument or option", "meaning"), rows) if rows else ""


def is_argument(param: Any) -> bool:
    """Return whether a parameter of a command is given by its position."""
    return not str(param.opts[0]).startswith("-")
