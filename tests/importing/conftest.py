from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.importing.desk import Desk

from imageport.catalog import Catalog
from imageport.configuration.site import Site


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[Callable[[], Desk]]:
    """Return a function that makes a desk with separate staging and catalog."""
    made: list[Desk] = []

    def make() -> Desk:
        folder = tmp_path / f"desk-{len(made)}"
        folder.mkdir()
        site = Site.model_validate({"staging": {"directory": folder / "staging"}})
        made.append(Desk(folder, Catalog(f"sqlite:///{folder}/catalog.db"), site))
        return made[-1]

    yield make
    for desk in made:
        desk.catalog.close()


@pytest.fixture
def desk(make_desk: Callable[[], Desk]) -> Desk:
    return make_desk()
