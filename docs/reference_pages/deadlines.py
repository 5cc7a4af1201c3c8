"""The page about the deadlines of calls into plugins."""

from __future__ import annotations

from collections.abc import Iterator

from imageport.deadlines import DEADLINES
from imageport.limits import Limits
from reference_pages.writing import table


def deadlines_page() -> Iterator[str]:
    """List each call into a plugin with its deadline and the consequence of passing it."""
    yield "# Deadlines of hooks"
    yield (
        "No plugin can hold up a command for ever. Each call into a plugin has a deadline, whose seconds are set under "
        "`limits` of the [site file](site-file.md). A call that passes it is left behind with its thread: the command "
        "goes on without it, and what the call brings later is discarded."
    )
    yield table(
        ("call", "key", "default", "what it counts", "what happens", "exit code"),
        (
            (
                f"`{name.partition(',')[0]}`{''.join(name.partition(',')[1:])}",
                f"`{deadline.key}`",
                f"{Limits.model_fields[deadline.key].default:g} s",
                deadline.counts,
                deadline.outcome,
                str(int(deadline.error.exit_code)) if deadline.fails else "that of the rest",
            )
            for name, deadline in DEADLINES.items()
        ),
    )
    yield (
        "A plugin that is a store is reported with exit code 6, whatever the call. The time in which a step waits for "
        "its input counts for the plugin that makes this input."
    )
    yield (
        "All clean-up of one import has `store_patience` together, or five seconds once a store was stuck; different "
        "stores are cleaned up at the same time. After a signal the command ends within two seconds. Copies that "
        "could not be removed by then are named, and `imageport gc` removes them. When threads are left behind, the "
        "process ends without waiting for them."
    )
