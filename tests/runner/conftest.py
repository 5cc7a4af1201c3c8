from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.runner.desk import Desk

from imageport.catalog import Catalog
from imageport.configuration.site import Site


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    site = Site.model_validate({"staging": {"directory": tmp_path / "staging"}})
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    yield Desk(tmp_path, catalog, site)
    catalog.close()
