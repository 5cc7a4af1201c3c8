"""Find the stage that takes the time while the stream waits for its data."""

from __future__ import annotations

import time
from collections.abc import Sequence

from imageport.importing.metering import Meter

#: Seconds over which the stages are compared.
_INTERVAL = 0.2


class SlowestStage:
    """Names the stage that took most of the time lately."""

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._meters = meters
        self._before: dict[str, float] = {}
        self._asked = 0.0
        self._answer: str | None = None

    def __call__(self) -> str | None:
        """Return the label of the stage, or None when none of them has done anything.

        Whoever asks too soon gets the same answer again.
        """
        if (moment := time.monotonic()) - self._asked < _INTERVAL:
            return self._answer
        self._asked = moment
        now: dict[str, float] = {}
        for meter in self._meters:
            now[meter.step.label] = now.get(meter.step.label, 0.0) + meter.seconds
        spent = {label: seconds - self._before.get(label, 0.0) for label, seconds in now.items()}
        self._before = now
        slowest = max(spent, key=lambda label: spent[label], default=None)
        self._answer = slowest if slowest is not None and spent[slowest] > 0 else None
        return self._answer
