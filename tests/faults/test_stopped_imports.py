"""An import that is stopped, taken over, and wakes up again shows and leaves nothing that is not in the catalog.

It is stopped at every moment from the announcement of its copy on, but for those in a transaction, where it would keep
others from writing. Its lease expires, ``gc`` rolls it back, and then it goes on, to its end or until it is killed a
few moments later.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from tests.faults.journeys import Journey, journey
from tests.faults.machine import DEADLINE, Command


@pytest.mark.parametrize("killed_after", [None, 1, 2])
def test_a_stopped_import_that_wakes_up_shows_and_leaves_nothing(
    tmp_path: Path, killed_after: int | None
) -> None:
    with journey(tmp_path, "stream", 1) as trip:
        trip.once()  # makes folders that are there from then on
        passed = trip.once().passed()
        announced = next(
            number for number, moment in enumerate(passed) if moment.startswith("INSERT INTO image_locations")
        )
        outside = [number for number, moment in enumerate(passed) if moment.startswith(("os.", "open "))]
        for at in (number for number in outside if number > announced):
            signals = {at: signal.SIGSTOP}
            if killed_after is not None:
                signals[at + killed_after] = signal.SIGKILL
            image = trip.ready()
            command = trip.machine.start(*trip.arguments(image), signals=signals)
            _await_stop(command)
            _expire_leases(trip)
            assert trip.machine.run("gc").status == 0
            trip.machine.assert_whole(trip.expected)
            os.kill(command.pid, signal.SIGCONT)
            trip.machine.wait(command)
            assert trip.machine.run("gc").status == 0
            trip.machine.assert_whole(trip.expected)
            trip.machine.assert_nothing_left()
            if trip.machine.catalog.get_image(image).status == "queued":
                assert command.status != 0
                again = trip.machine.run(*trip.arguments(image))
                assert again.status == 0, again.complaints
            assert trip.machine.catalog.get_image(image).status == "active"


def test_an_import_that_runs_is_not_dead_by_the_clock(tmp_path: Path) -> None:
    with journey(tmp_path, "stream", 1) as trip:
        os.mkfifo(tmp_path / "slow")
        image = trip.machine.new_image("raw")
        command = trip.machine.start("run", "pipeline.yaml", "slow", "--image", image, "--json")
        with (tmp_path / "slow").open("wb") as source:
            trip.machine.await_event(command, "task.processing")
            _expire_leases(trip)
            cleaned = trip.machine.run("gc")
            assert cleaned.stdout.read_text() == "nothing to clean up\n"
            assert trip.machine.catalog.get_image(image).status == "importing"
            source.write(trip.source.read_bytes())
        assert trip.machine.wait(command).status == 0
        trip.machine.assert_whole(trip.expected)
        trip.machine.assert_nothing_left()


def _await_stop(command: Command) -> None:
    deadline = time.monotonic() + DEADLINE
    while Path(f"/proc/{command.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < deadline, command.complaints
        time.sleep(0.005)


def _expire_leases(trip: Journey) -> None:
    """Let the clock be set forward: the leases of all imports have expired."""
    with closing(sqlite3.connect(trip.machine.folder / "catalog" / "catalog.db", timeout=60)) as database:
        database.execute("UPDATE tasks SET lease_expires_at = '2001-01-01 00:00:00.000000'")
        database.commit()
