"""An import costs the same however many images there are: no statement of it looks at all rows of a table."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event

from imageport.catalog import Catalog
from imageport.configuration.pipeline import load_pipeline
from imageport.configuration.site_file import load_site
from imageport.importing.admission import ImportRequest
from imageport.importing.importer import Importer
from imageport.importing.lease_keeper import Interruption
from imageport.importing.plan import make_plan
from imageport.plugins.registry import PluginRegistry
from imageport.values import Caller

Statement = tuple[str, Any]


@pytest.fixture
def statements() -> Iterator[list[Statement]]:
    """Return what is executed in all databases."""
    found: list[Statement] = []

    def listen(_c: Connection, _r: object, statement: str, parameters: Any, _x: object, many: bool) -> None:
        found.append((statement, parameters[0] if many else parameters))

    event.listen(Engine, "before_cursor_execute", listen)
    yield found
    event.remove(Engine, "before_cursor_execute", listen)


def test_no_statement_of_an_import_scans_a_table(
    site_folder: Path, tmp_path: Path, statements: list[Statement]
) -> None:
    (site_folder / "pipeline.yaml").write_text("name: direct\nsource: {use: glance-direct}\n")
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"all work and no play\n" * 1000)
    site = load_site("imageport.yaml", environ=os.environ, cwd=site_folder)
    registry, catalog = PluginRegistry.installed(), Catalog(site.catalog)
    del statements[:]
    pipeline = load_pipeline(
        site_folder / "pipeline.yaml", site=site, registry=registry, source_uri=str(disk)
    )
    request = ImportRequest(caller=Caller(user="alice"), disk_format="raw")
    with Interruption() as interruption:
        report = Importer(site, catalog, registry, interruption).run(make_plan(pipeline), request)
    catalog.close()
    assert report.error is None
    executed = [
        (text, values) for text, values in statements if text.startswith(("SELECT", "UPDATE", "DELETE"))
    ]
    assert len(executed) > 10
    engine = create_engine(site.catalog)
    with engine.connect() as connection:
        plans = {
            statement: [
                row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            ]
            for statement, values in executed
        }
    engine.dispose()
    assert {text: plan for text, plan in plans.items() if any(step.startswith("SCAN") for step in plan)} == {}
