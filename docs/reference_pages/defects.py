"""The page about known defects of Glance that cannot happen here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ruamel.yaml import YAML

from reference_pages.writing import table

#: The defects, and the tests that show it.
FILE = Path(__file__).parents[2] / "tests/contract/known_defects.yaml"


def defects_page() -> Iterator[str]:
    """List the defects with what happens here instead."""
    yield "# Known defects of Glance"
    yield (
        "Known defects of image imports in OpenStack Glance: observed in its code of July 2026, reported in its "
        "advisories, or fixed in the past. None of the published ones can be reproduced here; the tests in the "
        "last column try."
    )
    for title, defects in YAML(typ="safe").load(FILE).items():
        yield f"## {title}"
        rows = [
            (
                name,
                defect["glance"],
                defect["here"],
                ", ".join(f"`{test}`" for test in defect["tests"]) or "none",
            )
            for name, defect in defects.items()
        ]
        yield table(("defect", "in Glance", "here", "tests"), rows)
