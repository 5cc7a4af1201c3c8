"""Options and arguments that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from imageport.values import Caller

#: Option ``--json`` of a command that prints one result.
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

PipelineFile = Annotated[str, typer.Argument(metavar="PIPELINE", help="Pipeline file (YAML).")]

SourceUri = Annotated[
    str | None,
    typer.Argument(
        metavar="SOURCE",
        help="Where the image is: a url, a path, or - for standard input. Comes before source.uri of the pipeline.",
    ),
]

#: Option ``--set`` for variables of a pipeline: ``pairs("--set", settings)`` reads its values.
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Value of a variable of the pipeline; may be repeated."),
]

#: Option ``--plugin`` for plugins in single files: ``Imageport.add_plugin_file`` takes each.
PluginFiles = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        help="Python file with one plugin, for an experiment: its name is that of the file; may be repeated.",
    ),
]

#: Option ``--user``, the name of the caller.
User = Annotated[
    str | None,
    typer.Option(
        "--user", envvar="IMAGEPORT_USER", help="User who runs the command. Default: the login name."
    ),
]

#: Option ``--project`` of the caller.
Project = Annotated[
    str | None,
    typer.Option(
        "--project",
        envvar="IMAGEPORT_PROJECT",
        help="Project of the user; images belong to it, or to the user without one.",
    ),
]

#: Option ``--role``, the roles of the caller.
Roles = Annotated[
    list[str] | None,
    typer.Option(
        "--role",
        metavar="ROLE",
        envvar="IMAGEPORT_ROLES",
        help="Role of the user; may be repeated, or be a comma list. Default: member.",
    ),
]

#: Rows of a list that are shown when nothing else is asked for.
DEFAULT_LIMIT = 100

#: Option ``--limit`` of a list.
Limit = Annotated[int, typer.Option("--limit", min=0, metavar="N", help="Show at most so many; 0 shows all.")]

ImageName = Annotated[
    str, typer.Argument(metavar="IMAGE", help="Id of the image, its first 4 or more characters, or its name.")
]


def caller(user: str | None, project: str | None, roles: list[str] | None) -> Caller:
    """Return the caller that the options ``--user``, ``--project`` and ``--role`` name."""
    from imageport.app.instance import login_name
    from imageport.values import Caller

    names = {name.strip() for given in roles or () for name in given.split(",")} - {""}
    return Caller(user=user or login_name(), project=project or None, roles=frozenset(names or {"member"}))
