"""Writers of an SQLite catalog wait for their turn, and get an error when it does not come."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from imageport.catalog import Catalog, sqlite
from imageport.errors import ImageportError
from imageport.values import ImageRecord


def _record(image_id: str) -> ImageRecord:
    return ImageRecord(id=image_id, name="disk", status="queued", visibility="private", owner="alice")


def test_a_catalog_that_others_keep_to_themselves_is_called_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0)
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    with closing(sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ImageportError, match="is busy") as refused:
            catalog.create_image(_record("one"))
        assert "a process that was stopped while it wrote" in refused.value.hint
        assert catalog.list_images() == []
        other.execute("COMMIT")
    assert catalog.create_image(_record("one")).id == "one"
    catalog.close()


def test_sixty_threads_that_write_and_read_at_once_all_succeed(tmp_path: Path) -> None:
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    begin, seen = threading.Barrier(60), []

    def work(number: int) -> None:
        begin.wait()
        catalog.create_image(_record(f"image-{number}"))
        seen.append(catalog.get_image(f"image-{number}").id)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == sorted(f"image-{number}" for number in range(60))
    catalog.close()
