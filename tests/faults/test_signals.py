"""SIGINT and SIGTERM, once and twice, at moments from all parts of an import: it ends with 130, and leaves nothing."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
from tests.faults.journeys import WAYS, journey

INTERRUPTED = 130
#: Signals for each way; every second one comes twice.
SIGNALS = 6


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("way", WAYS)
def test_an_interrupted_import_is_taken_back_or_completed(
    tmp_path: Path, way: str, number: signal.Signals
) -> None:
    chance = random.Random(f"{way} {number}")
    with journey(tmp_path, way, 3, must=way != "file") as trip:
        share = len(trip.once().passed()) / SIGNALS
        for part in range(SIGNALS):
            at = int((part + chance.random()) * share)
            signals = {at: number} if part % 2 else {at: number, at + chance.randrange(1, 5): number}
            image = trip.ready()
            command = trip.machine.run(*trip.arguments(image), signals=signals)
            status = trip.machine.catalog.get_image(image).status
            begun = bool(trip.machine.catalog.list_tasks(image_id=image))
            if status == "active":
                assert command.status == 0
            elif begun:
                assert (command.status, command.report["error"]["code"]) == (INTERRUPTED, "cancelled")
                assert command.report["rolled_back"]
                assert status == "queued"
            else:
                assert command.status in {INTERRUPTED, -number}
            trip.machine.assert_nothing_left()
            trip.machine.assert_whole(trip.expected, image)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_interrupted_staging_leaves_the_image_queued_or_staged_whole(
    tmp_path: Path, number: signal.Signals
) -> None:
    with journey(tmp_path, "staged", 1) as trip:
        stage = ["images", "stage"]
        moments = len(
            trip.machine.run(*stage, trip.machine.new_image("raw"), trip.source, signals={}).passed()
        )
        for at in range(3, moments, 3):
            image = trip.machine.new_image("raw")
            command = trip.machine.run(*stage, image, trip.source, signals={at: number})
            status = trip.machine.catalog.get_image(image).status
            assert (command.status, status) in {(0, "uploading"), (INTERRUPTED, "queued")}
            trip.machine.assert_nothing_left()
