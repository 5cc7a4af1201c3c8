"""The page about where an import comes out otherwise than in Glance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from reference_pages.writing import table

#: What the tests with a real Glance allow to differ.
FILE = Path(__file__).parents[2] / "tests/glance/differences.yaml"


def differences_page() -> Iterator[str]:
    """List what differs, and why."""
    yield "# Differences from Glance"
    yield (
        "`make glance` makes the same imports through a Glance from its published package and through Imageport, and "
        "compares task, status, formats, sizes, digests, stores, both lists of stores, lock, properties and every "
        "stored byte. They are equal but for this table. What it does not list differs nowhere in these imports; if it "
        "does, the test fails."
    )
    rows: list[tuple[str, str, str, str]] = []
    for reason in YAML(typ="safe").load(FILE):
        why = f"{reason['why']} ({reason['contract']})"
        for title, fields in reason["cases"].items():
            rows.append((title, _values(fields, 0), _values(fields, 1), why))
            why = "the same"
    yield table(("import", "in Glance", "in Imageport", "why"), rows)
    yield (
        "*stores* are those whose copies the record has, *copies* those that have bytes of the image. In brackets is "
        "the line of the import contract that asks for the difference: X lines and scenarios are its requirements, D "
        "lines defects of Glance."
    )


def _values(fields: Mapping[str, Any], side: int) -> str:
    return ", ".join(f"{field}: {pair[side]}" for field, pair in fields.items())
