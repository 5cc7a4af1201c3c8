"""Goals for the results, row by row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.crowd import SEARCHED
from tests.bench.flows import (
    CONVERTED,
    COPIED,
    FROM_FILE,
    HUGE_1,
    HUGE_8,
    STAGED,
    UNPACKED,
    WEB_1,
    WEB_1_SHA512,
    WEB_3,
    WEB_3_SHA512,
    WEB_8,
    WEB_BUSY,
    WEB_BUSY_SHA512,
)
from tests.bench.inputs import MIB
from tests.bench.jobs import AT_ONCE, FIRST, LAST, ONE_BY_ONE, PLUGINS, THREADS_AT_ONCE, VERSION
from tests.bench.results import Results
from tests.bench.yardsticks import CONVERT, COPY, CURL, DIGESTS, SPARSE_WRITE, UNPACK

MEMORY = 256 * MIB
SEARCH_MEMORY = 150 * MIB


@dataclass(frozen=True)
class Goal:
    """A limit and its description; the limit is NaN when its inputs were not measured."""

    words: str
    limit: float

    def met(self, value: float) -> bool | None:
        """Return whether *value*, infinite after a failure, is within the limit; None when this is unknown."""
        if value == math.inf:
            return False
        return None if math.isnan(self.limit) or math.isnan(value) else value <= self.limit


@dataclass(frozen=True)
class Row:
    """Something that has *goals*; *unit* is ``s`` or ``MiB``."""

    title: str
    goals: Sequence[Goal] = ()
    value: float = math.nan
    unit: str = "s"


def flow_rows(results: Results) -> list[Row]:
    """Return the rows that have a column for Glance."""

    def row(title: str, times: float | None, *bounds: Goal) -> Row:
        glance = results.seconds("glance", title)
        faster = [] if times is None else [Goal(f"{times:.0f}x faster than Glance", glance / times)]
        return Row(title, [*faster, *bounds], results.seconds("imageport", title))

    curl, digests, copy, sparse_write, unpack, convert = (
        results.seconds("yardstick", title) for title in (CURL, DIGESTS, COPY, SPARSE_WRITE, UNPACK, CONVERT)
    )
    one_store = results.seconds("imageport", WEB_1.title)
    return [
        row(
            WEB_1.title, 5,
            Goal("1.25x the slowest of curl, the digests and cp", 1.25 * _slowest(curl, digests, copy)),
        ),
        row(
            WEB_3.title, 8,
            Goal("1.5x the time for 1 store and two sparse writes", 1.5 * one_store + 2 * sparse_write),
        ),
        row(
            CONVERTED.title, 7,
            Goal("1.3x qemu-img convert and then the digests", 1.3 * (convert + digests)),
        ),
        row(UNPACKED.title, 4, Goal("curl, gzip and then sha512sum", unpack)),
        row(COPIED.title, 8),
        row(STAGED.title, None, Goal("1.25x the digests", 1.25 * digests)),
        row(
            FROM_FILE.title, None,
            Goal("1.25x the slower of the digests and cp", 1.25 * _slowest(digests, copy)),
        ),
        row(ONE_BY_ONE, 5),
        row(AT_ONCE, None, Goal("all succeed", math.inf)),
    ]  # fmt: skip


def other_rows(results: Results) -> list[Row]:
    """Return the rows of Imageport alone."""

    def seconds(title: str) -> float:
        return results.seconds("imageport", title)

    def memory(title: str, most: int = MEMORY) -> Row:
        sample = results.sample("imageport", title)
        peak = seconds(title) if sample is None else sample.peak_rss / MIB
        return Row(f"peak RSS of {title}", [Goal(f"{most // MIB} MiB", most / MIB)], peak, "MiB")

    return [
        Row(THREADS_AT_ONCE, [Goal("all succeed", math.inf)], seconds(THREADS_AT_ONCE)),
        Row(FIRST, (), seconds(FIRST)),
        Row(LAST, [Goal("1.1x the first 100", 1.1 * seconds(FIRST))], seconds(LAST)),
        Row(WEB_BUSY.title, (), seconds(WEB_BUSY.title)),
        *(
            Row(alone.title, [Goal("the default takes 1.4x", seconds(default.title) / 1.4)], seconds(alone.title))
            for alone, default in ((WEB_1_SHA512, WEB_1), (WEB_3_SHA512, WEB_3), (WEB_BUSY_SHA512, WEB_BUSY))
        ),
        Row(VERSION, [Goal("0.15 s", 0.15)], seconds(VERSION)),
        Row(PLUGINS, [Goal("0.25 s", 0.25)], seconds(PLUGINS)),
        *(Row(title, [Goal("0.5 s", 0.5)], seconds(title)) for title in SEARCHED),
        *(memory(title, SEARCH_MEMORY) for title in SEARCHED),
        *(memory(flow.title) for flow in (WEB_1, WEB_8, HUGE_1, HUGE_8)),
    ]  # fmt: skip


def _slowest(*parts: float) -> float:
    return max(parts) if all(part == part for part in parts) else math.nan
