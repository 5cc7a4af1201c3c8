"""One pass into three stores, beside a full read, write and digest for each store; benchmarks report, nothing more.

Run them with ``pytest tests/bench --benchmark-enable --benchmark-only``; in the test suite each runs once, without
timing, and its bytes are checked. What an operator would measure is in ``make bench``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from imageport.catalog import Catalog
from imageport.configuration.pipeline import load_pipeline
from imageport.configuration.site import Site
from imageport.dataplane.buffers import Chunks
from imageport.dataplane.fanout import Consumer, fan_out
from imageport.importing.admission import ImportRequest
from imageport.importing.importer import Importer
from imageport.importing.lease_keeper import Interruption
from imageport.importing.plan import make_plan
from imageport.plugins.registry import PluginRegistry
from imageport.values import Caller

T = TypeVar("T")

STORES = ("one", "two", "three")


def _timed(benchmark: BenchmarkFixture, run: Callable[[], T]) -> T:
    result: T = benchmark.pedantic(run, rounds=3)  # type: ignore[no-untyped-call]
    return result


@pytest.fixture
def size(request: pytest.FixtureRequest) -> int:
    """Return the bytes of the image: 256 MiB when timed, little otherwise."""
    return (4 if request.config.getoption("benchmark_disable") else 256) << 20


@pytest.fixture
def disk(tmp_path: Path, size: int) -> Path:
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
    return path


@pytest.fixture
def importer(tmp_path: Path) -> Iterator[Importer]:
    site = Site.model_validate({"staging": {"directory": tmp_path / "staging"}})
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    with Interruption() as interruption:
        yield Importer(site, catalog, PluginRegistry.installed(), interruption)
    catalog.close()


def test_one_pass_into_three_stores(
    benchmark: BenchmarkFixture, importer: Importer, tmp_path: Path, disk: Path
) -> None:
    entries = [f"  - {{use: file, id: {store}, with: {{directory: {tmp_path / store}}}}}" for store in STORES]
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text("name: bench\nsource: {use: glance-direct}\nstores:\n" + "\n".join(entries))

    def run() -> str:
        configured = load_pipeline(
            pipeline, site=importer.site, registry=importer.registry, source_uri=str(disk)
        )
        request = ImportRequest(caller=Caller(user="bench"), disk_format="raw")
        report = importer.run(make_plan(configured), request)
        assert report.error is None
        assert report.image is not None
        return report.image.id

    image = _timed(benchmark, run)
    assert all((tmp_path / store / image).stat().st_size == disk.stat().st_size for store in STORES)


def test_a_read_a_digest_pair_and_a_write_for_each_store(
    benchmark: BenchmarkFixture, tmp_path: Path, disk: Path
) -> None:
    """What Glance does (contract 6.2), in its simplest form: without its wrappers, and without its staging."""

    def run() -> None:
        for store in STORES:
            digests = hashlib.md5(), hashlib.sha512()
            with disk.open("rb") as source, (tmp_path / store).open("wb") as target:
                while piece := source.read(64 << 10):
                    for digest in digests:
                        digest.update(piece)
                    target.write(piece)
                target.flush()
                os.fsync(target.fileno())

    _timed(benchmark, run)
    assert all((tmp_path / store).stat().st_size == disk.stat().st_size for store in STORES)


def test_the_channels_alone(benchmark: BenchmarkFixture, size: int) -> None:
    piece = os.urandom(1 << 20)

    def count(chunks: Chunks) -> int:
        return sum(map(len, chunks))

    def run() -> int:
        consumers = [Consumer(store, count) for store in STORES]
        pieces = (piece for _ in range(size >> 20))
        total = fan_out(pieces, consumers, report=lambda done, waits: None)
        assert [consumer.outcome() for consumer in consumers] == [size] * len(STORES)
        return total

    assert _timed(benchmark, run) == size
