"""Which of the stages takes the time while the stream waits for its data."""

from __future__ import annotations

from collections.abc import Sequence

from imageport.importing.metering import Meter


class SlowestStage:
    """Names the stage that took most of the time since it was asked last."""

    def __init__(self, meters: Sequence[Meter]) -> None:
        self._meters = meters
        self._before: dict[str, float] = {}

    def __call__(self) -> str | None:
        """Return the label of the stage, or None when none of them has done anything."""
        now: dict[str, float] = {}
        for meter in self._meters:
            now[meter.step.label] = now.get(meter.step.label, 0.0) + meter.seconds
        spent = {label: seconds - self._before.get(label, 0.0) for label, seconds in now.items()}
        self._before = now
        slowest = max(spent, key=lambda label: spent[label], default=None)
        return slowest if slowest is not None and spent[slowest] > 0 else None
