"""Many commands at once on one catalog and one set of stores: each does its work or reports why it cannot."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest
from tests.faults.journeys import journey

AT_ONCE = 20
CONFLICT = 7


def test_twenty_imports_at_once_and_gc_do_not_disturb_each_other(tmp_path: Path) -> None:
    with journey(tmp_path, "file", 3) as trip:
        images = [trip.ready() for _ in range(AT_ONCE)]
        started = []
        for number, image in enumerate(images):
            started.append(trip.machine.start(*trip.arguments(image)))
            if number % 4 == 0:
                started.append(trip.machine.start("gc"))
        assert [trip.machine.wait(command).status for command in started] == [0] * len(started)
        for image in images:
            assert len(trip.machine.catalog.get_image(image).locations) == 3
        trip.machine.assert_nothing_left()
        trip.machine.assert_whole(trip.expected)


@pytest.mark.parametrize(("way", "stores"), [("converted", 3), ("staged", 1)])
def test_of_twenty_imports_of_one_image_at_once_one_wins(tmp_path: Path, way: str, stores: int) -> None:
    with journey(tmp_path, way, stores) as trip:
        image = trip.ready()
        started = [trip.machine.start(*trip.arguments(image)) for _ in range(AT_ONCE)]
        ends = [trip.machine.wait(command) for command in started]
        assert Counter(command.status for command in ends) == {0: 1, CONFLICT: AT_ONCE - 1}
        for command in ends:
            if command.status == CONFLICT:
                assert command.report["error"]["code"] == "conflict"
                assert command.report["error"]["hint"]
        assert len(trip.machine.catalog.get_image(image).locations) == stores
        trip.machine.assert_nothing_left()
        trip.machine.assert_whole(trip.expected)


@pytest.mark.parametrize("way", ["staged", "converted"])
def test_whatever_is_done_to_an_image_while_it_is_imported_it_is_whole_or_gone(
    tmp_path: Path, way: str
) -> None:
    chance = random.Random(way)
    with journey(tmp_path, way, 3, must=False) as trip:
        for _ in range(4):
            image = trip.ready()
            others = [
                ["images", "stage", image, str(trip.source)],
                ["images", "delete", image, "--yes"],
                ["images", "delete", image, "--store", "store1", "--yes"],
                ["images", "show", image],
                ["gc"],
                ["gc"],
                trip.arguments(image),
                trip.arguments(image),
            ]
            chance.shuffle(others)
            started = [trip.machine.start(*trip.arguments(image))]
            for arguments in others:
                time.sleep(chance.uniform(0, 0.06))
                started.append(trip.machine.start(*arguments))
            for command in started:
                # 2: there is no such image, or no such copy, any more.
                assert trip.machine.wait(command).status in {0, 2, CONFLICT}, command.complaints
            assert trip.machine.run("gc").status == 0
            trip.machine.assert_nothing_left()
            trip.machine.assert_whole(trip.expected)
