"""Options that commands share, and output that cannot take over the terminal.

A command is an entry point of the group ``imageport.commands``: a function with typer parameters, or a
``typer.Typer``. ``ctx.obj`` of its ``typer.Context`` is an ``imageport.app.Imageport`` with the site file of the call.
It raises errors of ``imageport.errors``, which decide the message and the exit code.
"""

from __future__ import annotations

from imageport.cli.options import Json, Limit, Project, Roles, Settings, User, caller
from imageport.cli.output import confirm_deletion, pairs, print_fields, print_json, print_line, print_table

__all__ = [
    "Json",
    "Limit",
    "Project",
    "Roles",
    "Settings",
    "User",
    "caller",
    "confirm_deletion",
    "pairs",
    "print_fields",
    "print_json",
    "print_line",
    "print_table",
]
