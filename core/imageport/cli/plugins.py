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
        ("NAME", "STATUS", "ROLE", "FROM", "SUMMARY"),
        (
            (row["name"], row["status"], ", ".join(row["roles"]), _from(row), _prose(row["summary"]))
            for row in found
        ),
    )


@app.command("doctor")
def examine_plugins(
    ctx: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Plugins to examine; all of them without.")
    ] = None,
    json: Json = False,
) -> None:
    """Import each plugin in a process that cannot hang, and check its hooks, its name, its contract and its programs.

    The exit code is 1 when a plugin cannot be used.
    """
    from imageport.cli.doctor import show
    from imageport.errors import ExitCode

    imageport: Imageport = ctx.obj
    found = []
    for diagnosis in imageport.examine_plugins(names or ()):
        found.append(diagnosis)
        if not json:
            show(diagnosis)
    if json:
        print_json([diagnosis.as_dict() for diagnosis in found])
    if any(diagnosis.severity == "error" for diagnosis in found):
        raise typer.Exit(ExitCode.IMPORT_FAILED)


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
    facts = {
        "distribution": described["distribution"],
        "installed": _origin(described),
        "licence": described["licence"],
        "contract": described["contract"],
        **{name: described[name] for name in _FACTS},
    }
    capabilities = [] if described["capabilities"] is None else in_words(described["capabilities"])
    shown = {name: option_text(value) for name, value in facts.items()}
    print_fields({**shown, "capabilities": capabilities})
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
    "roles",
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


def _from(row: dict[str, Any]) -> str:
    """Return the distribution, marked if its files are those of an author."""
    return f"{row['distribution'] or '-'}{' (editable)' if row.get('installed') == 'editable' else ''}"


def _origin(described: dict[str, Any]) -> str:
    """Return how and from where the distribution was installed."""
    if described["installed"] == "unknown":
        return f"in {described['folder'] or 'an unknown place'}"
    return f"{described['installed']}, from {described['source'] or 'a package index'}"
