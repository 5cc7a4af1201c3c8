"""``imageport from-glance``: move over from Glance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imageport.cli.options import Json
from imageport.cli.output import print_json, say


def from_glance(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="glance-api.conf, glance-image-import.conf, a file of property protections, policy.yaml: "
            "in any order. Of several of one kind the later ones count.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Write imageport.yaml and pipelines/*.yaml there; nothing is overwritten."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Print the site file and a pipeline that mean what a configuration of Glance means.

    Each value names the option it came from; a list tells what was not carried over, and why. With --output all
    pipelines are written, one for each import method.
    """
    from imageport.moving.from_glance import SITE_FILE, move
    from imageport.moving.gaps import gap_lines
    from imageport.moving.output import main_pipeline, write_files

    moved = move(files)
    if output is not None:
        write_files(Path(output), moved.files)
    if json:
        print_json(moved.as_dict())
    elif output is not None:
        for name in moved.files:
            say(f"wrote {Path(output) / name}")
        for line in gap_lines(moved.gaps):
            say(line.removeprefix("#").removeprefix(" "))
    else:
        _print(f"# ---- {SITE_FILE}", moved.files[SITE_FILE])
        pipeline = main_pipeline(moved.files)
        if pipeline is not None:
            _print("---\n# ---- pipeline.yaml", moved.files[pipeline])


def _print(head: str, text: str) -> None:
    for line in f"{head}\n{text}".splitlines():
        say(line)
