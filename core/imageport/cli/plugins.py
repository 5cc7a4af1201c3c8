"""``imageport plugins``: what is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from imageport.cli.options import Json
from imageport.cli.output import print_json, print_table
from imageport.cli.session import Session

if TYPE_CHECKING:
    from imageport.catalogue import InstalledPlugin

app = typer.Typer(help="Show installed plugins.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_plugins(ctx: typer.Context, json: Json = False) -> None:
    """List the installed plugins; a broken one is shown with the reason."""
    session: Session = ctx.obj
    found = [_describe(plugin) for plugin in session.catalogue]
    found += [_disabled(name) for name in session.catalogue.disabled]
    if json:
        print_json(found)
        return
    print_table(
        ("NAME", "STATUS", "HOOKS", "FROM", "SUMMARY"),
        (
            (row["name"], row["status"], " ".join(row["hooks"]), row["distribution"], row["summary"])
            for row in sorted(found, key=lambda row: str(row["name"]))
        ),
    )


def _describe(plugin: InstalledPlugin) -> dict[str, Any]:
    from imageport.catalogue import hooks_of
    from imageport.errors import PluginBroken

    described: dict[str, Any] = {"name": plugin.name, "distribution": plugin.distribution}
    try:
        plugin_class = plugin.load()
    except PluginBroken as error:
        status = "conflict" if plugin.conflicts else "broken"
        return {**described, "status": status, "hooks": [], "summary": error.message}
    return {
        **described,
        "status": "ok",
        "hooks": list(hooks_of(plugin_class)),
        "summary": plugin_class.summary(),
    }


def _disabled(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "distribution": None,
        "status": "disabled",
        "hooks": [],
        "summary": "left out by the site file or IMAGEPORT_DISABLED_PLUGINS",
    }
