"""The results as tables of Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from tests.bench.goals import Goal, Row, flow_rows, other_rows
from tests.bench.results import Kind, Results
from tests.bench.yardsticks import YARDSTICKS


def report(results: Results, machine: Mapping[str, str], size: int) -> str:
    """Return all tables."""
    measured = any(kind == "glance" for kind, _ in (*results.costs, *results.failures))
    glance = "not measured" if not measured else "measured in the same run"
    if results.recorded:
        glance = "recorded on another machine"
    lines = [
        f"Images of {size / (1 << 30):g} GiB, half of it zeros; Glance {glance}.",
        "Seconds are medians, with the fastest and the slowest of n runs.",
        "",
        *(f"* {name}: {value}" for name, value in machine.items()),
        "",
        *_table("flow | Glance | Imageport | Glance / Imageport | goals | verdict", _flows(results)),
        "",
        *_table("yardstick | seconds", ([name, _seconds(results, "yardstick", name)] for name in YARDSTICKS)),
        "",
        *_table("Imageport alone | measured | goals | verdict", _others(results)),
    ]
    return "\n".join(lines) + "\n"


def _flows(results: Results) -> Iterator[list[str]]:
    for row in flow_rows(results):
        ratio = results.seconds("glance", row.title) / row.value
        yield [
            row.title,
            _seconds(results, "glance", row.title),
            _seconds(results, "imageport", row.title),
            "" if not math.isfinite(ratio) else f"{ratio:.1f}x",
            *_verdict(row),
        ]


def _others(results: Results) -> Iterator[list[str]]:
    for row in other_rows(results):
        in_memory = row.unit == "MiB" and math.isfinite(row.value)
        measured = f"{row.value:.0f} MiB" if in_memory else _seconds(results, "imageport", row.title)
        yield [row.title, measured, *_verdict(row)]


def _verdict(row: Row) -> tuple[str, str]:
    verdicts = {True: "met", False: "**not met**", None: "unknown"}
    goals = [goal.words + _limit(goal) for goal in row.goals]
    return "; ".join(goals), ", ".join(verdicts[goal.met(row.value)] for goal in row.goals)


def _limit(goal: Goal) -> str:
    return f" ({goal.limit:.2f})" if math.isfinite(goal.limit) else ""


def _seconds(results: Results, kind: Kind, title: str) -> str:
    if (kind, title) in results.failures:
        return f"failed: {results.failures[kind, title].splitlines()[0]}"
    sample = results.sample(kind, title)
    if sample is None:
        return "not measured"
    if kind == "glance" and results.recorded:
        return f"{sample.seconds:.1f} (recorded)"
    fastest, slowest = sample.spread
    return f"{sample.seconds:.2f} ({fastest:.2f} to {slowest:.2f}, n = {len(sample.costs)})"


def _table(head: str, rows: Iterator[list[str]] | Sequence[list[str]]) -> Iterator[str]:
    yield f"| {head} |"
    yield "|---" * (head.count("|") + 1) + "|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |"
