"""Imports in every way, killed with signal 9 at more than 100 moments: nothing is lost, and nothing is left."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.journeys import WAYS, Journey, journey
from tests.faults.machine import digest

#: How often each import is killed at one of its moments, and at any time between them.
AT_MOMENTS = 7
AT_ANY_TIME = 2


@pytest.mark.parametrize(("stores", "must"), [(1, True), (3, True), (3, False)])
@pytest.mark.parametrize("way", WAYS)
def test_killed_at_any_moment_the_image_is_queued_or_whole(
    tmp_path: Path, way: str, stores: int, must: bool
) -> None:
    chance = random.Random(f"{way} {stores} {must}")
    with journey(tmp_path, way, stores, must=must) as trip:
        original = digest(trip.source)
        started = time.monotonic()
        moments = len(trip.once().passed())
        lifetime = time.monotonic() - started
        for number, (at, seconds) in enumerate(_deaths(chance, moments, lifetime)):
            image = trip.ready()
            _killed(trip, image, at, seconds)
            trip.machine.assert_whole(trip.expected, image)
            if number % 2:
                _taken_over(trip, image)
            else:
                _cleaned(trip, image, chance)
            assert trip.machine.catalog.get_image(image).status == "active"
        trip.machine.assert_whole(trip.expected)
        assert digest(trip.source) == original


def test_killed_while_it_stages_the_image_is_queued_or_staged_whole(tmp_path: Path) -> None:
    with journey(tmp_path, "staged", 1) as trip:
        stage = ["images", "stage"]
        whole = trip.machine.run(*stage, trip.machine.new_image("raw"), trip.source, signals={})
        moments = len(whole.passed())
        assert trip.machine.run("gc").status == 0
        for at in range(0, moments, 2):
            image = trip.machine.new_image("raw")
            assert trip.machine.run(*stage, image, trip.source, signals={at: signal.SIGKILL}).status == -9
            assert trip.machine.run("gc").status == 0
            status = trip.machine.catalog.get_image(image).status
            staged = trip.machine.folder / "staging" / image
            assert (status, staged.exists()) in {("queued", False), ("uploading", True)}
            if status == "queued":
                trip.make_ready(image)
            assert digest(staged) == trip.expected
            assert trip.machine.run(*trip.arguments(image)).status == 0
        trip.machine.assert_whole(trip.expected)


def _deaths(
    chance: random.Random, moments: int, lifetime: float
) -> Iterator[tuple[int, None] | tuple[None, float]]:
    """Return moments from all parts of an import, and times."""
    share = moments / AT_MOMENTS
    for number in range(AT_MOMENTS):
        yield int((number + chance.random()) * share), None
    for _ in range(AT_ANY_TIME):
        yield None, chance.uniform(0, lifetime)


def _killed(trip: Journey, image: str, at: int | None, seconds: float | None) -> None:
    command = trip.machine.start(*trip.arguments(image), signals=None if at is None else {at: signal.SIGKILL})
    if seconds is not None:
        time.sleep(seconds)
        command.kill()
    # An import that was faster than its death is as good.
    assert trip.machine.wait(command).status in {0, -signal.SIGKILL}


def _cleaned(trip: Journey, image: str, chance: random.Random) -> None:
    """Let ``gc`` clean up, which is killed as well once, and import again where nothing was imported."""
    trip.machine.run("gc", signals={chance.randrange(12): signal.SIGKILL})
    trip.machine.assert_whole(trip.expected, image)
    assert trip.machine.run("gc").status == 0
    trip.machine.assert_nothing_left()
    status = trip.machine.catalog.get_image(image).status
    if status == "queued":
        trip.make_ready(image)
    if status != "active":
        again = trip.machine.run(*trip.arguments(image))
        assert again.status == 0, again.complaints
        trip.machine.assert_nothing_left()


def _taken_over(trip: Journey, image: str) -> None:
    """Let the next import of the image clean up."""
    if trip.way == "staged":
        _stage_again(trip, image)
    again = trip.machine.run(*trip.arguments(image))
    # 7: the import had made the image active before it was killed, and this one has only completed that.
    assert again.status in {0, 7}, again.complaints
    trip.machine.assert_nothing_left()


def _stage_again(trip: Journey, image: str) -> None:
    """Stage the data again if the killed import has used it up, once that import is rolled back."""
    assert trip.machine.run("gc").status == 0
    if trip.machine.catalog.get_image(image).status == "queued":
        trip.make_ready(image)
