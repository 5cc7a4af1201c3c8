from __future__ import annotations

import time

from imageport import NoConfig, Plugin
from imageport.importing.metering import Meter
from imageport.importing.slowest import SlowestStage
from imageport.plugins.binding import BoundStep


class _Idle(Plugin[NoConfig]):
    """Do nothing."""


def _meter(label: str, above: Meter | None = None) -> Meter:
    step = BoundStep.bind(label, "acme 1.0", _Idle(NoConfig()))
    return Meter(step, "transform", lambda _done, _total: None, above)


def test_the_stage_that_took_most_of_the_time_lately_is_named() -> None:
    source = _meter("source")
    unpack = _meter("unpack", source)
    source.inclusive, unpack.inclusive = 5.0, 6.0
    slowest = SlowestStage([source, unpack])
    assert slowest() == "source"
    source.inclusive, unpack.inclusive = 5.5, 8.0
    assert slowest() == "source", "the answer is that of a moment ago"
    time.sleep(0.21)
    assert slowest() == "unpack"


def test_no_stage_is_named_when_none_has_done_anything() -> None:
    assert SlowestStage([])() is None
    assert SlowestStage([_meter("source")])() is None
