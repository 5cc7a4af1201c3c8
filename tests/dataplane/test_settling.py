"""Copies of an image that users have already: what is not published when the import ends is thrown away."""

from __future__ import annotations

import threading
from functools import partial

from imageport import ImageData, Location, PendingCopy
from imageport.errors import Cancelled
from imageport.importing.consumer import Consumer
from imageport.importing.settling import settle_any
from imageport.importing.writing import Copy, WrittenImage
from imageport.values import Written


def test_a_copy_that_waits_for_its_turn_when_the_import_is_interrupted_is_discarded() -> None:
    go = threading.Event()
    told: list[str] = []

    def write(name: str, _data: ImageData) -> PendingCopy:
        if name == "slow":
            go.wait()
        return Written(Location(url=name), 0, lambda: None, lambda: told.append(f"{name} discarded"))

    def publish(copy: Copy) -> None:
        copy.outcome().publish()
        told.append(f"{copy.label} published")

    def failed(copy: Copy) -> None:
        told.append(f"{copy.label}: {copy.error}")

    def interrupted() -> None:
        if "first published" in told and not copies["last"].running:
            raise Cancelled("the import was interrupted")

    copies: dict[str, Copy] = {
        name: Consumer(name, partial(write, name), too_late=lambda copy: copy.discard())
        for name in ("first", "slow", "last")
    }
    for copy in copies.values():
        copy.start(None)
    settle_any(WrittenImage(copies=copies), publish, failed, interrupted, store_patience=60)
    go.set()
    while copies["slow"].running:
        threading.Event().wait(0.01)
    why = "the import was interrupted before this store was done"
    assert told == [
        "first published",
        f"slow: {why}",
        "last discarded",
        f"last: {why}",
        "slow discarded",
    ]
