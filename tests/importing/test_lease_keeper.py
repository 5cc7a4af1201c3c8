"""The keeper of a lease ends an import that has to end, even when its first signal comes to nothing."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from imageport import Cancelled
from imageport.catalog import Lease
from imageport.importing.lease_keeper import Interruption, LeaseKeeper


class CancelledLease:
    """A lease whose import was cancelled."""

    task_id = "1"

    def renew(self, _progress: dict[str, Any]) -> bool:
        return True


class Counting(Interruption):
    """Count the signals."""

    def __init__(self) -> None:
        super().__init__()
        self.signals = 0
        self.third = threading.Event()

    def interrupt(self) -> None:
        super().interrupt()
        self.signals += 1
        if self.signals == 3:
            self.third.set()


def test_an_import_that_goes_on_waiting_is_interrupted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageport.importing.lease_keeper.RENEW_EVERY", 0.01)
    interruption = Counting()
    with LeaseKeeper(cast(Lease, CancelledLease()), interruption, {}) as keeper:
        assert interruption.third.wait(60)
        with pytest.raises(Cancelled, match="was cancelled"):
            keeper.require_running()
    signals = interruption.signals
    assert not threading.Event().wait(0.05)
    assert interruption.signals == signals
