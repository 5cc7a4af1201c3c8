"""Clean-up after an error, which stays the one that is reported."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from imageport.watched_calls import LeftBehind

log = logging.getLogger(__name__)


@contextmanager
def logged(action: str) -> Iterator[None]:
    """Log an error of the block, which is to *action*, instead of raising it: the cause was raised before.

    ``KeyboardInterrupt`` passes, and ``LeftBehind``.
    """
    try:
        yield
    except (KeyboardInterrupt, LeftBehind):
        raise
    except BaseException:
        log.warning("could not %s", action, exc_info=True)
