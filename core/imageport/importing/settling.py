"""The end of the copies: published together, or removed without a trace."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from imageport.errors import Cancelled, ImageportError, StoreFailed
from imageport.importing.fanout import LAST_WAIT
from imageport.importing.writing import Copy

log = logging.getLogger(__name__)

#: Seconds between two looks at stores that are still finishing.
_PATIENCE = 0.05


def settle_all(copies: Mapping[str, Copy], publish: Callable[[Copy], None]) -> None:
    """Publish every copy, once all are written; raise before the first when one store has failed."""
    for copy in copies.values():
        copy.outcome()
    for copy in copies.values():
        publish(copy)


def settle_any(
    copies: Mapping[str, Copy],
    publish: Callable[[Copy], None],
    failed: Callable[[Copy], None],
    check: Callable[[], None],
) -> None:
    """Publish each copy as soon as its store is done; raise ``StoreFailed`` when none could be published.

    *check* is called while waiting, and may raise to give up. Once users have the image it is not taken away from
    them again: then stores that are not done count as failed.
    """
    waiting = list(copies.values())
    published = 0
    while waiting:
        try:
            check()
        except Cancelled as error:
            if not published:
                raise
            for copy in waiting:
                copy.error = StoreFailed(f"{error.message} before this store was done")
                failed(copy)
            return
        for copy in waiting:
            copy.wait(_PATIENCE)
        for copy in [copy for copy in waiting if not copy.running]:
            waiting.remove(copy)
            try:
                publish(copy)
            except Exception as error:
                # Only what the store itself has raised is its fault; anything else ends the import.
                if copy.error is None:
                    raise
                log.warning("store %s: %s", copy.label, error)
                failed(copy)
            else:
                published += 1
    if not published:
        raise StoreFailed(
            "no store took the image: "
            + "; ".join(f"{copy.label}: {copy.error}" for copy in copies.values()),
            hint=next(
                (copy.error.hint for copy in copies.values() if isinstance(copy.error, ImageportError)), ""
            ),
        )


def discard_all(copies: Iterable[Copy]) -> None:
    """Throw away the copies that are written and not published."""
    for copy in copies:
        copy.wait(LAST_WAIT)
        if copy.result is not None:
            try:
                copy.result.discard()
            except Exception:  # the deletion by location that follows has the last word
                log.warning("store %s could not discard its copy", copy.label, exc_info=True)
