"""Stores that are written at the same time, one after another, or a few at a time."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.contract.disks import ODD_PARTITION, PARTITION, iso, qemu_img, raw_disk, with_boot_record
from tests.contract.site import Outcome, Site

BODY = bytes(range(256)) * 100
GARBAGE = random.Random(51).randbytes(100_000)
STORES = ("s1", "s2", "s3")


@dataclass(frozen=True)
class Case:
    """An import into three stores, some of them *broken*, and what has to come of it: the error, if any."""

    content: bytes
    error: str | None = None
    disk_format: str = "raw"
    broken: tuple[str, ...] = ()
    must: bool = True
    settings: dict[str, Any] = field(default_factory=dict)

    def run(self, site: Site, *, at_once: int) -> dict[str, Any]:
        """Import while *at_once* stores may be written at the same time; return everything that can be compared."""
        for store in STORES:
            site.trouble(store, *(["middle"] if store in self.broken else []))
        site.configure(limits={"max_parallel_stores": at_once}, **self.settings)
        done = site.run(self.content, disk_format=self.disk_format, all_stores=True, must=self.must)
        site.configure(**dict.fromkeys(self.settings))
        assert (done.report["error"] or {}).get("code") == self.error
        return _whole(site, done)


def _whole(site: Site, done: Outcome) -> dict[str, Any]:
    fields = ("status", "disk_format", "size", "virtual_size", "checksum", "os_hash_value")
    return {
        "error": done.report["error"],
        "image": {name: done.image[name] for name in fields},
        "copies": [copy["store"] for copy in done.image["locations"]],
        "lists": done.lists,
        "task": done.task["status"],
        "stored": {store: files.get(done.image["id"]) for store, files in site.stored().items()},
        "staged": site.staged(),
        "events": [_facts(event) for event in done.events if event["type"] != "progress"],
    }


def _facts(event: dict[str, Any]) -> tuple[Any, ...]:
    record = event.get("record", {"properties": {}})
    lists = [
        record["properties"].get(f"os_glance_{name}") for name in ("importing_to_stores", "failed_import")
    ]
    return event["type"], event.get("store"), event.get("error"), record.get("status"), *lists


def test_051_parallel_stores_change_nothing_but_the_time(site: Site, tmp_path: Path) -> None:
    """Three stores written at the same time: all outcomes of 41, 43, 45, 47 and of the scenarios about the bytes are as
    with one after another, with the same results, events and lists."""
    disk, overlay = tmp_path / "disk.qcow2", tmp_path / "overlay.qcow2"
    qemu_img("create", "-f", "qcow2", disk, "5M")
    qemu_img("create", "-f", "qcow2", "-F", "qcow2", "-b", disk, overlay)
    odd = with_boot_record(raw_disk(200_000), ODD_PARTITION)
    hybrid = with_boot_record(iso(tmp_path), PARTITION)
    cases = (
        Case(BODY),
        Case(BODY, "store-failed", broken=("s2",)),
        Case(BODY, broken=("s2",), must=False),
        Case(BODY, "store-failed", broken=STORES, must=False),
        Case(disk.read_bytes(), disk_format="qcow2"),
        Case(GARBAGE, disk_format="aki"),
        Case(GARBAGE, "verification-failed", disk_format="qcow2"),
        Case(GARBAGE, disk_format="qcow2", settings={"require_image_format_match": False}),
        Case(overlay.read_bytes(), "verification-failed", disk_format="qcow2", must=False),
        Case(hybrid, disk_format="iso"),
        Case(odd, "verification-failed"),
        Case(odd, settings={"gpt_safety_checks_nonfatal": ["mbr"]}),
    )
    for case in cases:
        assert case.run(site, at_once=3) == case.run(site, at_once=1)


def test_052_no_more_stores_are_written_at_once_than_allowed(site: Site) -> None:
    """One target store with parallel writing on: as without. Of three stores with max_parallel_stores 2, never more
    than two are being written."""
    site.configure(limits={"max_parallel_stores": 3})
    done = site.run(BODY, image=site.create(), stores=["s2"])
    assert done.image["status"] == "active"
    assert site.stored() == {"s2": {done.image["id"]: BODY}}
    site.configure(limits={"max_parallel_stores": 2})
    for store in STORES:
        site.trouble(store, waits=True)
    running = site.start(BODY, image=site.create(), all_stores=True)
    for lines, store in ((2, "s1"), (4, "s2"), (5, "s3")):
        _wait_for_lines(site, lines)
        assert _most_at_once(site.journal()) == 2
        site.let_go(store)
    assert running.finish().image["status"] == "active"
    assert _most_at_once(site.journal()) == 2
    assert len(site.journal()) == 6


def _most_at_once(journal: list[str]) -> int:
    now = most = 0
    for line in journal:
        now += 1 if line.startswith("begin") else -1
        most = max(most, now)
    return most


def _wait_for_lines(site: Site, count: int) -> None:
    give_up = time.monotonic() + 60
    while len(site.journal()) < count:
        assert time.monotonic() < give_up, site.journal()
        time.sleep(0.02)
