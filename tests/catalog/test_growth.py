"""An import costs the same however many images there are: no statement of it looks at all rows of a table."""

from __future__ import annotations

import os
from pathlib import Path

from tests.catalog.plans import plans, recorded_statements

from imageport.catalog import Catalog
from imageport.configuration.pipeline import load_pipeline
from imageport.configuration.site_file import load_site
from imageport.importing.admission import ImportRequest
from imageport.importing.importer import Importer
from imageport.importing.lease_keeper import Interruption
from imageport.importing.plan import make_plan
from imageport.plugins.registry import PluginRegistry
from imageport.values import Caller


def test_no_statement_of_an_import_scans_a_table(site_folder: Path, tmp_path: Path) -> None:
    (site_folder / "pipeline.yaml").write_text("name: direct\nsource: {use: glance-direct}\n")
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"all work and no play\n" * 1000)
    site = load_site("imageport.yaml", environ=os.environ, cwd=site_folder)
    registry, catalog = PluginRegistry.installed(), Catalog(site.catalog)
    pipeline = load_pipeline(
        site_folder / "pipeline.yaml", site=site, registry=registry, source_uri=str(disk)
    )
    request = ImportRequest(caller=Caller(user="alice"), disk_format="raw")
    with Interruption() as interruption, recorded_statements() as statements:
        report = Importer(site, catalog, registry, interruption).run(make_plan(pipeline), request)
    catalog.close()
    assert report.error is None
    executed = [
        (text, values) for text, values in statements if text.startswith(("SELECT", "UPDATE", "DELETE"))
    ]
    assert len(executed) > 10
    scans = {
        statement: plan
        for statement, plan in plans(site.catalog, executed).items()
        if any(line.startswith("SCAN") for line in plan)
    }
    assert scans == {}
