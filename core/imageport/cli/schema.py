"""``imageport schema``: JSON Schema of the YAML files."""

from __future__ import annotations

from typing import Annotated

import typer

from imageport.cli.output import print_json
from imageport.cli.session import Session


def schema(
    ctx: typer.Context,
    site: Annotated[bool, typer.Option("--site", help="The schema of the site file instead.")] = False,
) -> None:
    """Print the JSON Schema of pipeline files, with the options of every installed plugin, for editors."""
    from imageport.configuration.schema import pipeline_schema, site_schema

    session: Session = ctx.obj
    print_json(site_schema(session.registry) if site else pipeline_schema(session.registry))
