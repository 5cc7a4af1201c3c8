"""The folder of a store that goes away, or can only be read any more, in the middle of an import."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.journeys import Journey, journey
from tests.faults.machine import Command
from tests.faults.slow_source import SlowSource
from tests.noise import noise

#: A fault of the folder ``disk/store1``, a text in the hint about it, and the repair.
Fault = tuple[Callable[[Journey], None], str, Callable[[Journey], None]]


def _moved_away(trip: Journey) -> None:
    _seen(trip).rename(_seen(trip).with_name("elsewhere"))


def _moved_back(trip: Journey) -> None:
    _seen(trip).with_name("elsewhere").rename(_seen(trip))


def _removed(trip: Journey) -> None:
    _seen(trip).rmdir()


def _read_only(trip: Journey) -> None:
    # Files that are open for writing keep a file system from being made read-only, but not another mount of it.
    trip.machine.mount("--bind", _named(trip), _named(trip))
    trip.machine.mount("-o", "remount,bind,ro", _named(trip))


def _writable_again(trip: Journey) -> None:
    trip.machine.unmount(_named(trip))


def _unmounted(trip: Journey) -> None:
    trip.machine.unmount("--lazy", _named(trip).parent)


def _unmounted_from_a_folder(trip: Journey) -> None:
    _unmounted(trip)
    _seen(trip).mkdir()


def _mounted_again(trip: Journey) -> None:
    trip.machine.mount("-t", "tmpfs", "none", _named(trip).parent)


def _stays(_trip: Journey) -> None:
    pass


FAULTS: dict[str, Fault] = {
    "moved away": (_moved_away, "is not there any more", _moved_back),
    "removed": (_removed, "is not there any more", _stays),
    "read-only": (_read_only, "is mounted read-only", _writable_again),
    "unmounted": (_unmounted, "is not there any more", _mounted_again),
    "another disk": (_unmounted_from_a_folder, "is on another disk than before", _mounted_again),
}


def _named(trip: Journey) -> Path:
    return trip.machine.folder / "disk" / "store1"


def _seen(trip: Journey) -> Path:
    return trip.machine.seen / "disk" / "store1"


@pytest.mark.parametrize("must", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_goes_away_in_the_middle_takes_nothing_with_it(
    tmp_path: Path, fault: str, must: bool
) -> None:
    happens, hint, ends = FAULTS[fault]
    with journey(tmp_path, "stream", 3, must=must, disks={"disk": "64m"}) as trip:
        trip.move_store("store1", "disk/store1")
        image, command = _interrupted(trip, lambda: happens(trip))
        _judge(trip, command, image, hint, must=must)
        ends(trip)
        assert trip.machine.run("gc").status == 0
        _works_again(trip)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a disk that is a file")
@pytest.mark.parametrize("must", [True, False])
def test_a_disk_that_breaks_in_the_middle_takes_nothing_with_it(tmp_path: Path, must: bool) -> None:
    disk = tmp_path / "disk.img"
    with disk.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True)
    with journey(tmp_path, "stream", 3, must=must, disks={"disk": "64m"}) as trip:
        trip.move_store("store1", "disk/store1")
        _seen(trip).mkdir()
        trip.machine.mount("-o", "loop,errors=remount-ro", disk, _named(trip))
        # This is what ext4 does when it finds damage or the disk does not answer.
        image, command = _interrupted(trip, lambda: trip.machine.mount("-o", "remount,abort", _named(trip)))
        trip.machine.unmount(_named(trip))
        _judge(trip, command, image, str(_named(trip)), must=must)
        _works_again(trip)


def _interrupted(trip: Journey, fault: Callable[[], None]) -> tuple[str, Command]:
    """Import an image during which there is a *fault*, and return its id and the command at its end."""
    content = noise(10 << 20)
    with SlowSource(trip.machine.folder / "pipe") as source:
        image = trip.ready()
        command = trip.machine.start("run", "pipeline.yaml", source.path, "--image", image, "--json")
        source.pour(content, trip.machine, command)
        trip.machine.await_file(command, "disk/store1")
        fault()
        source.pour(content, trip.machine, command)
        source.end()
        return image, trip.machine.wait(command)


def _works_again(trip: Journey) -> None:
    trip.machine.assert_nothing_left()
    image = trip.ready()
    assert trip.machine.run(*trip.arguments(image)).status == 0
    assert len(trip.machine.catalog.get_image(image).locations) == 3
    trip.machine.assert_nothing_left()


def _judge(trip: Journey, command: Command, image: str, hint: str, *, must: bool) -> None:
    """Check that the import has failed, or has gone on without the store, and that this is reported."""
    assert command.report["stores"]["store1"]["status"] == "failed"
    record = trip.machine.catalog.get_image(image)
    assert command.report["orphans"] == []
    if must:
        assert (command.status, command.report["error"]["store"]) == (6, "store1")
        assert hint in command.report["error"]["hint"]
        assert command.report["rolled_back"]
        assert record.status == "queued"
    else:
        assert command.status == 0
        assert {location.store for location in record.locations} == {"store0", "store2"}
    trip.machine.assert_nothing_left()
