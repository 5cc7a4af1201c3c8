"""``imageport plugins``: the installed plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from imageport.cli.capabilities import in_words
from imageport.cli.options import Json
from imageport.cli.output import option_text, print_fields, print_json, print_line, print_table

if TYPE_CHECKING:
    from imageport.app import Imageport

app = typer.Typer(help="Show installed plugins.", no_args_is_help=True)


@app.command("list")
def list_plugins(ctx: typer.Context, json: Json = False) -> None:
    """List the installed plugins; a broken one is shown with the reason, a method that the site disables as such."""
    imageport: Imageport = ctx.obj
    found = imageport.plugins()
    if json:
        print_json(found)
        return
    print_table(
        ("NAME", "STATUS", "FROM", "SUMMARY"),
        ((row["name"], row["status"], row["distribution"], _prose(row["summary"])) for row in found),
    )


@app.command("show")
def show_plugin(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of an installed plugin.")],
    json: Json = False,
) -> None:
    """Show the purpose of a plugin, its hooks and needs, its options, and an example."""
    imageport: Imageport = ctx.obj
    described = imageport.plugin(name)
    if json:
        print_json(described)
        return
    print_line(f"{described['name']}: {_prose(described['summary'])}")
    if described["details"]:
        print_line()
        for line in _prose(described["details"]).splitlines():
            print_line(line)
    print_line()
    facts: dict[str, Any] = {name: option_text(described[name]) for name in _FACTS}
    if described["capabilities"] is not None:
        facts["capabilities"] = in_words(described["capabilities"])
    print_fields(facts)
    print_line()
    if described["options"]:
        print_table(
            ("OPTION", "TYPE", "DEFAULT", "DESCRIPTION"),
            (
                (
                    option["name"],
                    option["type"],
                    "(required)" if option["required"] else option_text(option["default"]),
                    _prose(option["description"]),
                )
                for option in described["options"]
            ),
        )
    else:
        print_line("no options")
    print_line()
    for line in described["example"].splitlines():
        print_line(line)


_FACTS = (
    "distribution",
    "hooks",
    "reads",
    "writes",
    "runs_after",
    "runs_before",
    "starts_from",
    "copies",
    "binaries",
    "stability",
)


def _prose(text: str) -> str:
    """Return text of a docstring without the marks of code that only documentation tools know."""
    return text.replace("``", "'")
