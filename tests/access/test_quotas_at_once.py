"""Quotas bind what is done at the same moment: room is taken in the transaction that asks for it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.cli.command_line import CommandLine

from imageport.access.quotas import QuotaDemand, Quotas, demand_of_one, demand_to_bring, demand_to_keep
from imageport.catalog import Catalog, Lease
from imageport.errors import OverQuota
from imageport.values import ImageRecord, Location

AT_ONCE = 10


def at_once(url: str, work: Callable[[Catalog, int], Any]) -> list[Any]:
    """Do *work* so often at the same moment, each with a separate catalog; return the results that are not refused."""
    begin = threading.Barrier(AT_ONCE)

    def do(number: int) -> Any:
        catalog = Catalog(url)
        try:
            begin.wait()
            return work(catalog, number)
        except OverQuota as error:
            return error
        finally:
            catalog.close()

    Catalog(url).close()
    with ThreadPoolExecutor(AT_ONCE) as threads:
        done = list(threads.map(do, range(AT_ONCE)))
    refused = [result for result in done if isinstance(result, OverQuota)]
    assert len(refused) == AT_ONCE - 3, refused
    return [result for result in done if not isinstance(result, OverQuota)]


def record(number: int, **fields: Any) -> ImageRecord:
    return ImageRecord(
        id=f"image-{number}", owner="ada", disk_format="raw", container_format="bare", **fields
    )


def begun(catalog: Catalog, image_id: str, demand: QuotaDemand | None = None) -> Lease:
    lease = catalog.begin_import(
        image_id,
        starts_from={"queued", "active"},
        request={},
        owner="ada",
        targets=["fast"],
        lease_seconds=600,
        brings_formats=True,
        demand=demand,
    )
    lease.start()
    return lease


def test_no_more_images_are_made_than_the_quota_allows(url: str) -> None:
    room = demand_of_one(Quotas(image_count_total=3), "ada")
    at_once(url, lambda catalog, number: catalog.create_image(record(number), demand=room))
    catalog = Catalog(url)
    assert len(catalog.list_images()) == 3
    catalog.close()


def test_no_more_imports_begin_than_the_quota_allows(url: str) -> None:
    catalog = Catalog(url)
    for number in range(AT_ONCE):
        catalog.create_image(record(number))
    quotas = Quotas(image_count_uploading=3)

    def work(catalog: Catalog, number: int) -> Lease:
        lease = begun(catalog, f"image-{number}", demand_to_bring(quotas, record(number), None))
        if lease.refusal is not None:
            raise lease.refusal
        return lease

    assert len(at_once(url, work)) == 3
    catalog.close()


def test_no_more_bytes_are_staged_than_the_quota_allows(url: str) -> None:
    catalog = Catalog(url)
    for number in range(AT_ONCE):
        catalog.create_image(record(number))
    quotas = Quotas(image_stage_total=35)

    def work(catalog: Catalog, number: int) -> None:
        room = demand_to_bring(quotas, record(number), 10)
        with catalog.changing_status(f"image-{number}", of=("queued",), to="uploading", size=10, demand=room):
            pass

    at_once(url, work)
    assert catalog.usage("ada").image_stage_total == 30
    catalog.close()


def test_no_more_bytes_are_reserved_in_stores_than_the_quota_allows_and_the_end_releases_them(
    url: str,
) -> None:
    catalog = Catalog(url)
    leases = []
    for number in range(AT_ONCE):
        catalog.create_image(record(number))
        leases.append(begun(catalog, f"image-{number}"))
    quotas = Quotas(image_size_total=70)

    def work(catalog: Catalog, number: int) -> Lease:
        leases[number].reserve(20, demand_to_keep(quotas, record(number), 20))
        return leases[number]

    first, second, _ = at_once(url, work)
    assert catalog.usage("ada").image_size_total == 60
    first.fail(message="")
    assert catalog.usage("ada").image_size_total == 40
    second.finish(fields={"status": "active", "size": 20}, result={})
    assert catalog.usage("ada").image_size_total == 20, "no copy of it is published"
    catalog.close()


def test_the_copies_of_an_image_count_once_while_another_is_reserved(url: str) -> None:
    catalog = Catalog(url)
    copies = (Location(url="file:///a", store="a"), Location(url="file:///b", store="b"))
    catalog.create_image(record(0, status="active", size=10, locations=copies))
    assert catalog.usage("ada").image_size_total == 20
    lease = begun(catalog, "image-0")
    lease.reserve(30, demand_to_keep(Quotas(), record(0), 30))
    assert catalog.usage("ada").image_size_total == 30
    assert catalog.usage("ada", besides="image-0").image_size_total == 0
    catalog.close()


def test_commands_at_once_do_not_pass_a_quota(cli: CommandLine) -> None:
    (cli.folder / "imageport.yaml").write_text("quotas: {image_size_total: 6 MiB}\n")
    (cli.folder / "one.yaml").write_text(
        "name: one\nsource: {use: glance-direct}\nstores: [{use: file, id: one, with: {directory: one}}]\n"
    )
    cli.inside("images", "list")
    commands = [
        subprocess.Popen(
            [sys.executable, "-m", "imageport", "run", "one.yaml", cli.image, "-q"],
            cwd=cli.folder, env=cli.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]  # fmt: skip
    errors = [command.communicate()[1].decode() for command in commands]
    assert sorted(command.returncode for command in commands) == [0, 0, 7, 7], errors
    assert len(cli.files("one")) == 2
    assert [path for path in Path(cli.folder / "one").iterdir() if path.name.startswith(".")] == []
