"""The keeper of a lease ends an import that has to end."""

from __future__ import annotations

import math
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


def test_the_plugins_of_a_cancelled_import_are_asked_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("imageport.importing.lease_keeper.RENEW_EVERY", 0.01)
    interruption = Interruption()
    with LeaseKeeper(cast(Lease, CancelledLease()), interruption, {}) as keeper:
        assert interruption.event.wait(60)
        with pytest.raises(Cancelled, match="was cancelled"):
            keeper.require_running()
    assert interruption.countdown(math.inf)() == math.inf, "only a signal shortens the clean-up"


def test_a_signal_leaves_little_time_for_the_clean_up() -> None:
    interruption = Interruption()
    left = interruption.countdown(3600.0)
    assert left() > 3000
    interruption.interrupt()
    assert left() < 2
