"""``imageport plugins new``: a package for a new plugin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imageport import UsageError
from imageport.commands import print_line
from imageport_kit.variants import BASES, VARIANTS, Base, Hook

if TYPE_CHECKING:
    from imageport.app import Imageport


def new(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the package, such as acme-scan.")],
    hook: Annotated[
        Hook,
        typer.Option(
            help="transform: a step. validate_source: a step that may refuse the source. stage: an import method. "
            "store_write: a store. store_read: a store that only reads. on_progress: an observer. diagnose: an "
            "observer that 'doctor' asks. command: a command of imageport.",
        ),
    ],
    base: Annotated[
        Base | None,
        typer.Option(
            help="For a store: folder, files in a folder, is the default. part: objects that are uploaded in parts. "
            "extent: volumes that are written at any offset. plain: anything else.",
        ),
    ] = None,
    folder: Annotated[
        str | None,
        typer.Option(metavar="FOLDER", help="Folder to make. Default: NAME in the working folder."),
    ] = None,
) -> None:
    """Write a complete package for a plugin: code, tests, types, README, changelog and CI."""
    from imageport_kit.names import PackageNames
    from imageport_kit.package import write_package

    if base is not None and hook != "store_write":
        raise UsageError(f"--base {base} is for --hook store_write alone", hint="leave it out")
    names = PackageNames.of(name)
    imageport: Imageport = ctx.obj
    if hook != "command":
        _require_free(imageport, names.plugin)
    chosen: Base | None = (base or BASES[0]) if hook == "store_write" else None
    target = Path(folder) if folder is not None else Path(name)
    for file in write_package(names, VARIANTS[hook, chosen], target):
        print_line(f"{target}/{file}")
    print_line(f"next: cd {target}, pip install --editable . --group test, pytest")


def _require_free(imageport: Imageport, plugin: str) -> None:
    for row in imageport.plugins():
        if row["name"] == plugin:
            raise UsageError(
                f"plugin '{plugin}' of {row['distribution'] or 'a package that is disabled'} has that name",
                hint="choose another name",
            )
