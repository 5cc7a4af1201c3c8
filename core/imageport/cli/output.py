"""Results on standard output: text that cannot take over the terminal, tables, and JSON."""

from __future__ import annotations

import json
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar

import typer

from imageport.errors import UsageError
from imageport.text import printable


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=_HasId)


def print_line(text: str = "") -> None:
    """Print one line on standard output."""
    typer.echo(printable(text))


def confirm_deletion(what: str) -> None:
    """Ask on the terminal whether to delete *what*; ``no`` ends the command.

    Raises ``UsageError`` when standard input is not a terminal: then only ``--yes`` confirms.
    """
    if not sys.stdin or not sys.stdin.isatty():
        raise UsageError(
            f"{what} is not deleted: nothing confirms it, and standard input is not a terminal to ask on",
            hint="add --yes to delete it without a question",
        )
    typer.confirm(f"delete {what}?", abort=True)


def print_json(value: Any) -> None:
    """Print *value* as indented JSON in ASCII, which no terminal takes for a command."""
    typer.echo(json.dumps(value, indent=2, default=str))


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values in two columns; a list takes one line for each item, None takes none."""
    shown = {name: value for name, value in fields.items() if value not in (None, [], "")}
    width = max((len(name) for name in shown), default=0)
    for name, value in shown.items():
        items = value if isinstance(value, list) else [value]
        for number, item in enumerate(items):
            print_line(f"{'' if number else name:{width}}  {item}")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, cut: bool = False) -> None:
    """Print *rows* under *columns*. In a pipe each row is one line.

    On a terminal long cells are folded; with *cut* each row is one line there too, and the last column has the end
    of it, cut where that is too short.
    """
    cells = [["-" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    lines = _folded(columns, cells, cut=cut) if sys.stdout.isatty() else _side_by_side([columns, *cells])
    for line in lines:
        typer.echo(line.rstrip())


def with_next(limit: int) -> int | None:
    """Return the rows to read for a page of *limit* rows: one more, which shows that there is another page."""
    return limit + 1 if limit else None


def page_of(rows: Sequence[Row], limit: int) -> Sequence[Row]:
    """Return the rows of this page; where there are more, print on standard error how to get them."""
    if not limit or len(rows) <= limit:
        return rows
    typer.echo(f"there are more: --marker {rows[limit - 1].id} shows the next page, --limit 0 all", err=True)
    return rows[:limit]


def _side_by_side(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(_cells, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(text + " " * (width - _cells(text)) for text, width in zip(row, widths, strict=True))


def _cells(text: str) -> int:
    """Return the columns of a terminal that *text* takes: some characters take two, others none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1
        for char in text
    )


def _folded(columns: Sequence[str], rows: Iterable[Sequence[str]], *, cut: bool) -> Sequence[str]:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", expand=cut)
    for column in columns[: -1 if cut else None]:
        table.add_column(Text(column), overflow="fold", no_wrap=cut or column == columns[0])
    if cut:
        table.add_column(Text(columns[-1]), overflow="ellipsis", no_wrap=True, ratio=1)
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console(highlight=False, markup=False)
    with console.capture() as capture:
        console.print(table)
    return capture.get().splitlines()


def give_up_unwritten(stream: TextIO) -> None:
    """Drop buffered output that *stream* cannot write, so that Python does not fail on it at exit."""
    try:
        stream.flush()
    except OSError:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


def option_text(value: Any) -> str:
    """Return the value of an option in one line."""
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name}={item}" for name, item in value.items())
    return "" if value is None else str(value)


def short_time(moment: datetime | None) -> str | None:
    """Return *moment* in local time, to the second."""
    return moment.astimezone().isoformat(sep=" ", timespec="seconds") if moment else None


def pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    """Return the mapping written as ``NAME=VALUE`` behind each *option*. Raises ``UsageError``."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise UsageError(
                f"{option} must be NAME=VALUE, not {text}",
                hint=f"write for instance {option} os_distro=debian",
            )
        found[name] = value
    return found
