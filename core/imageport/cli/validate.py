"""``imageport validate``: every mistake of pipeline files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from imageport.cli.options import Json, PluginFiles
from imageport.cli.output import print_json, print_line

if TYPE_CHECKING:
    from imageport.app import Imageport


def validate(
    ctx: typer.Context,
    pipelines: Annotated[
        list[str],
        typer.Argument(metavar="PIPELINE...", help="Pipeline files, or folders of *.yaml files."),
    ],
    plugins: PluginFiles = None,
    json: Json = False,
) -> None:
    """Check pipelines without running them, and report every mistake with its line and column."""
    from imageport.errors import ExitCode

    imageport: Imageport = ctx.obj
    for file in plugins or ():
        imageport.add_plugin_file(file)
    found = {path: imageport.validate(path) for path in _files(pipelines)}
    if json:
        print_json(
            [
                {"file": path, "ok": not problems, "problems": [asdict(problem) for problem in problems]}
                for path, problems in found.items()
            ]
        )
    else:
        for path, problems in found.items():
            for problem in problems:
                print_line(str(problem))
            if not problems:
                print_line(f"{path}: ok")
    if any(found.values()):
        raise typer.Exit(ExitCode.USAGE)


def _files(paths: Sequence[str]) -> Iterator[str]:
    from imageport.configuration.site_file import FILE_NAME
    from imageport.errors import UsageError

    for path in paths:
        if not Path(path).is_dir():
            yield path
            continue
        files = sorted(str(file) for file in Path(path).glob("*.yaml") if file.name != FILE_NAME)
        if not files:
            raise UsageError(f"no pipelines in {path}", hint="pipelines are files named *.yaml")
        yield from files
