"""Events and the report of ``run`` as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any, TextIO

import typer

from imageport.redaction import redact_tree


def print_json_line(value: dict[str, Any], secrets: Collection[str], file: TextIO) -> None:
    """Print *value* to *file* as one line of JSON, without *secrets*."""
    typer.echo(json.dumps(redact_tree(value, secrets), default=str), file=file)
