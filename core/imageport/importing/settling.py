"""The end of the copies: published together, or each on its own, or removed without a trace."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from imageport.errors import ImageportError, LockLost, StoreFailed
from imageport.importing.consumer import HOLD_UP, stalled
from imageport.importing.writing import Copy, WrittenImage

log = logging.getLogger(__name__)

#: Seconds between two looks at stores that are still writing.
_PATIENCE = 0.05


def settle_all(
    written: WrittenImage, publish: Callable[[Copy], None], check: Callable[[], None], store_patience: float
) -> None:
    """Publish every copy, once all are written; raise before the first when one store has failed.

    *check* is called while waiting, and may raise to give up. A store that does nothing for *store_patience* seconds
    has failed.
    """
    copies = list(written.copies.values())
    while not all(copy.ended for copy in copies):
        check()
        _wait(written, store_patience)
        for copy in copies:
            if copy.ended:
                copy.outcome()
    # The stores may have taken the last bytes since this was told before.
    written.report(written.size, None)
    for copy in copies:
        copy.outcome()
    for copy in copies:
        publish(copy)


def settle_any(
    written: WrittenImage,
    publish: Callable[[Copy], None],
    failed: Callable[[Copy], None],
    check: Callable[[], None],
    store_patience: float,
) -> None:
    """Publish each copy as soon as its store is done; raise ``StoreFailed`` when none could be published.

    *check* and *store_patience* are as in ``settle_all``. Once users have the image it is not taken away from them
    again: then stores that are not done count as failed.
    """
    waiting = list(written.copies.values())
    published = 0
    while waiting:
        try:
            check()
            for copy in _ready(waiting):
                published += _settled(copy, publish, failed)
                waiting.remove(copy)
            _wait(written, store_patience)
        except Exception as error:
            if not published or isinstance(error, LockLost):
                raise
            log.warning("%s; the image is in use and stays in the stores that have it", error)
            for copy in waiting:
                copy.throw_away(StoreFailed(f"{error} before this store was done"))
                failed(copy)
            return
    if not published:
        copies = list(written.copies.values())
        raise StoreFailed(
            "no store took the image: " + "; ".join(f"{copy.label}: {copy.error}" for copy in copies),
            hint=next((copy.error.hint for copy in copies if isinstance(copy.error, ImageportError)), ""),
        )


def _ready(waiting: Sequence[Copy]) -> list[Copy]:
    """Return the copies whose turn it is: in the order of the stores, but none waits long for a slower one."""
    ready = []
    in_turn = True
    for copy in waiting:
        in_turn = in_turn and copy.ended
        if copy.ended and (in_turn or copy.ended_since > HOLD_UP):
            ready.append(copy)
    return ready


def _settled(copy: Copy, publish: Callable[[Copy], None], failed: Callable[[Copy], None]) -> bool:
    """Publish *copy* and say whether that went well."""
    try:
        publish(copy)
    except Exception as error:
        # Only what the store itself has raised is its fault; anything else ends the import.
        if copy.error is None:
            raise
        log.warning("store %s: %s", copy.label, error)
        failed(copy)
        return False
    return True


def _wait(written: WrittenImage, store_patience: float) -> None:
    """Let the stores go on for a moment, and give up those that do nothing any more."""
    written.go_on()
    for copy in written.copies.values():
        copy.wait(_PATIENCE)
        if copy.idle > store_patience:
            copy.give_up(stalled(copy.label, copy.idle))
