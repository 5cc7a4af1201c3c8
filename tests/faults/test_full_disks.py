"""A full disk, of a store, of staging or of the catalog, is reported, and with space the same command works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.faults.journeys import journey
from tests.faults.slow_source import SlowSource
from tests.noise import noise


@pytest.mark.parametrize("way", ["file", "converted"])
def test_full_staging_fails_the_import_until_there_is_space(tmp_path: Path, way: str) -> None:
    with journey(tmp_path, way, 1, disks={"staging": "8m"}) as trip:
        image = trip.ready()
        ballast = _fill(trip.machine.seen / "staging")
        command = trip.machine.run(*trip.arguments(image))
        assert (command.status, command.report["error"]["code"]) == (1, "limit-exceeded")
        assert "0 B (0 bytes) are free" in command.report["error"]["message"]
        assert "staging.directory" in command.report["error"]["hint"]
        ballast.unlink()
        trip.machine.assert_nothing_left()
        assert trip.machine.run(*trip.arguments(image)).status == 0
        trip.machine.assert_whole(trip.expected)


def test_staging_that_fills_up_while_data_comes_fails_the_import(tmp_path: Path) -> None:
    content = noise(3 << 20)
    with (
        journey(tmp_path, "file", 1, disks={"staging": "8m"}) as trip,
        SlowSource(tmp_path / "pipe") as source,
    ):
        image = trip.machine.new_image("raw")
        command = trip.machine.start("run", "pipeline.yaml", source.path, "--image", image, "--json")
        trip.machine.await_event(command, "task.processing")
        source.pour(content, trip.machine, command)
        ballast = _fill(trip.machine.seen / "staging")
        source.pour(content * 2, trip.machine, command)
        trip.machine.wait(command)
        assert command.status == 1
        assert "No space left" in command.report["error"]["message"]
        assert "staging.directory" in command.report["error"]["hint"]
        ballast.unlink()
        trip.machine.assert_nothing_left()


@pytest.mark.parametrize("must", [True, False])
def test_one_of_three_stores_is_full_until_there_is_space(tmp_path: Path, must: bool) -> None:
    with journey(tmp_path, "stream", 3, must=must, disks={"store1": "8m"}) as trip:
        ballast = _fill(trip.machine.seen / "store1")
        image = trip.ready()
        command = trip.machine.run(*trip.arguments(image))
        stores = command.report["stores"]
        assert "No space left" in stores["store1"]["error"]
        ballast.unlink()
        trip.machine.assert_nothing_left()
        if must:
            assert (command.status, command.report["error"]["store"]) == (6, "store1")
            assert "free space" in command.report["error"]["hint"]
            assert {stores[name]["status"] for name in ("store0", "store2")} == {"discarded"}
        else:
            assert command.status == 0
            record = trip.machine.catalog.get_image(image)
            assert {location.store for location in record.locations} == {"store0", "store2"}
            assert record.properties["os_glance_failed_import"] == "store1"
            image = trip.ready()
        assert trip.machine.run(*trip.arguments(image)).status == 0
        assert len(trip.machine.catalog.get_image(image).locations) == 3
        trip.machine.assert_nothing_left()
        trip.machine.assert_whole(trip.expected)


def test_while_the_disk_of_the_catalog_is_full_nothing_is_begun(tmp_path: Path) -> None:
    with journey(tmp_path, "stream", 1, disks={"catalog": "4m"}) as trip:
        ballast = _fill(trip.machine.seen / "catalog")
        importing = ["run", "pipeline.yaml", str(trip.source), "--disk-format", "raw", "--json"]
        command = trip.machine.run(*importing)
        assert command.status == 2
        assert "make room on the disk of the catalog" in command.report["error"]["hint"]
        assert trip.machine.files("store0") == []
        ballast.unlink()
        assert trip.machine.run(*importing).status == 0


def test_an_import_during_which_the_disk_of_the_catalog_fills_up_is_taken_back_later(tmp_path: Path) -> None:
    with (
        journey(tmp_path, "stream", 1, disks={"catalog": "4m"}) as trip,
        SlowSource(tmp_path / "pipe") as source,
    ):
        content = noise(10 << 20)
        command = trip.machine.start("run", "pipeline.yaml", source.path, "--disk-format", "raw", "--json")
        source.pour(content, trip.machine, command)
        trip.machine.await_file(command, "store0")
        ballast = _fill(trip.machine.seen / "catalog")
        source.pour(content, trip.machine, command)
        source.end()
        trip.machine.wait(command)
        assert command.status == 1
        assert "make room on the disk of the catalog" in command.report["error"]["hint"]
        assert not command.report["rolled_back"]
        assert trip.machine.files("store0") == []
        ballast.unlink()
        image = command.report["image"]["id"]
        again = ["run", "pipeline.yaml", str(trip.source), "--image", image, "--json"]
        assert trip.machine.run(*again).status == 0
        shown = trip.machine.run("images", "show", image, "--json").stdout.read_text()
        assert json.loads(shown)["status"] == "active"
        assert [path.name for path in trip.machine.files("store0")] == [image]
        assert [*(trip.machine.seen / "staging").rglob("*")] == []


def _fill(folder: Path) -> Path:
    """Take all the space of a disk, and return the file that has it."""
    folder.mkdir(exist_ok=True)
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast
