"""``imageport plugins search``: plugins that can be installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imageport.commands import Json, print_json, print_line, print_table

if TYPE_CHECKING:
    from imageport.app import Imageport

#: The index that comes with Imageport: its own plugins, and those of its packages.
INDEX = Path(__file__).with_name("plugins.json")


def search(
    ctx: typer.Context,
    word: Annotated[
        str, typer.Argument(metavar="WORD", help="Part of a name, package, summary or role.")
    ] = "",
    json: Json = False,
) -> None:
    """Search the index of plugins that can be installed: that of the site file, or the one of Imageport."""
    imageport: Imageport = ctx.obj
    found = imageport.search_plugins(word, INDEX)
    if json:
        print_json(found)
    elif not found:
        print_line(f"no plugin in the index has '{word}'")
    else:
        print_table(
            ("NAME", "PACKAGE", "ROLES", "SUMMARY"),
            ((row["name"], row["package"], ", ".join(row["roles"]), row["summary"]) for row in found),
        )
