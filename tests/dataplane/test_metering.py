from __future__ import annotations

import time

from imageport.dataplane.fanout import Slowest
from imageport.dataplane.metering import Meter


def _meter(label: str, above: Meter | None = None) -> Meter:
    return Meter(label, "transform", lambda _done, _total: None, above)


def test_the_stage_that_took_most_of_the_time_lately_is_named() -> None:
    source = _meter("source")
    unpack = _meter("unpack", source)
    source.inclusive, unpack.inclusive = 5.0, 6.0
    slowest = Slowest(lambda: {"source": source.seconds, "unpack": unpack.seconds})
    assert slowest() == "source"
    source.inclusive, unpack.inclusive = 5.5, 8.0
    assert slowest() == "source", "the answer is that of a moment ago"
    time.sleep(0.21)
    assert slowest() == "unpack"


def test_no_stage_is_named_when_none_has_done_anything() -> None:
    assert Slowest(dict)() is None
    idle = _meter("source")
    assert Slowest(lambda: {"source": idle.seconds})() is None
