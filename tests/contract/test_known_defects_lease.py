from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from tests.contract.disks import converted, raw_disk
from tests.contract.site import Site

from imageport.importing import lease_keeper

EXPIRES = "SELECT lease_expires_at FROM tasks"


def wait_until(happened: Callable[[], bool]) -> None:
    """Wait until something has *happened*, for a minute at most."""
    give_up = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def disturb(catalog: Path, begun: Path, go: Path, renewal_failed: Callable[[], bool]) -> None:
    """Once the long step has *begun* see a renewal, take the catalog away, see the next one, and let the step *go*."""
    try:
        wait_until(begun.exists)
        with closing(sqlite3.connect(catalog, isolation_level=None)) as database:
            before = database.execute(EXPIRES).fetchone()
            wait_until(lambda: database.execute(EXPIRES).fetchone() != before)
            database.execute("ALTER TABLE tasks RENAME TO away")
            wait_until(renewal_failed)
            database.execute("ALTER TABLE away RENAME TO tasks")
            before = database.execute(EXPIRES).fetchone()
            wait_until(lambda: database.execute(EXPIRES).fetchone() != before)
    finally:
        go.touch()


def test_a_lease_is_renewed_in_long_steps_and_a_failed_renewal_does_no_harm(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While qemu-img works and no data moves the lease is renewed. That the catalog is away for a moment is logged, and
    the import goes on. Glance renews only while it writes to stores, and the copy fails when it cannot."""
    monkeypatch.setattr(lease_keeper, "RENEW_EVERY", 0.05)
    disk = converted(site.folder, raw_disk(300 * 1024), "qcow2")
    begun, go = site.folder / "begun", site.folder / "go"
    site.program(
        "qemu-img", f"touch '{begun}'; while [ ! -e '{go}' ]; do sleep 0.02; done; exec \"$real\" \"$@\""
    )
    image = site.create(disk_format="qcow2")
    with ThreadPoolExecutor() as pool:
        disturbed = pool.submit(
            disturb, site.folder / "catalog.db", begun, go, lambda: "could not renew the lease" in caplog.text
        )
        done = site.run(disk, image=image, steps=["image_conversion"])
        disturbed.result()
    assert done.code == 0, done.report["error"]
    assert done.image["status"] == "active"
    assert done.task["status"] == "success"
