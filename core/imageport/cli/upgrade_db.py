"""``imageport upgrade-db``: make the catalog of an older Imageport one of this."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from imageport.cli.output import print_line

if TYPE_CHECKING:
    from imageport.app import Imageport


def upgrade_db(ctx: typer.Context) -> None:
    """Upgrade the catalog to this Imageport: needed for PostgreSQL; an SQLite file is upgraded when it is first opened.

    An SQLite file is copied first. For PostgreSQL, the command that makes a backup is printed, and not run. Nothing
    changes while an import is running, or when a step fails.
    """
    imageport: Imageport = ctx.obj
    done = imageport.upgrade_catalog(lambda command: print_line(f"to make a backup: {command}"))
    if done is None:
        print_line("the catalog is up to date")
        return
    print_line(f"upgraded the catalog from revision {done.before} to {done.after}")
    if done.backup is not None:
        print_line(f"backup: {done.backup}")
