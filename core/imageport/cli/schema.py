"""``imageport schema``: JSON Schema of the YAML files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from imageport.cli.output import print_json

if TYPE_CHECKING:
    from imageport.app import Imageport


def schema(
    ctx: typer.Context,
    site: Annotated[bool, typer.Option("--site", help="The schema of the site file instead.")] = False,
) -> None:
    """Print the JSON Schema of pipeline files, with the options of every installed plugin, for editors."""
    imageport: Imageport = ctx.obj
    print_json(imageport.schema(site=site))
