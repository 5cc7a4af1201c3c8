"""``imageport from-glance``: print the site file and the pipelines that a configuration of Glance stands for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from imageport.commands import Json, print_json, print_line


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
    """Print the site file and a pipeline that are equivalent to a configuration of Glance.

    Each value names the option it came from; a list names the options that were not carried over, and the reasons. With
    --output all pipelines are written, one for each import method.
    """
    from imageport_glance.from_glance.conversion import SITE_FILE, convert
    from imageport_glance.from_glance.gaps import gap_lines
    from imageport_glance.from_glance.output import main_pipeline, write_files

    converted = convert(files)
    if output is not None:
        write_files(Path(output), converted.files)
    if json:
        print_json(converted.as_dict())
    elif output is not None:
        for name in converted.files:
            print_line(f"wrote {Path(output) / name}")
        for line in gap_lines(converted.gaps):
            print_line(line.removeprefix("#").removeprefix(" "))
    else:
        _print(f"# ---- {SITE_FILE}", converted.files[SITE_FILE])
        pipeline = main_pipeline(converted.files)
        if pipeline is not None:
            _print("---\n# ---- pipeline.yaml", converted.files[pipeline])


def _print(head: str, text: str) -> None:
    for line in f"{head}\n{text}".splitlines():
        print_line(line)
