"""Keeps the lease of a running import alive, whatever the data does."""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import Any

from imageport.catalog import Lease
from imageport.errors import Cancelled, ImageportError, LimitExceeded, LockLost
from imageport.importing.interruption import Interruption

log = logging.getLogger(__name__)

#: Seconds after which an import that shows no sign of life may be taken over, and between two signs.
LEASE_SECONDS = 60.0
RENEW_EVERY = 5.0


class LeaseKeeper:
    """Renews a lease in a thread of its own until it is stopped; interrupts the import that has to end.

    It has to when somebody cancels it, when it has lost its lease, and *deadline* seconds after this was made.
    """

    def __init__(
        self,
        lease: Lease,
        interruption: Interruption,
        progress: dict[str, Any],
        *,
        deadline: float | None = None,
    ) -> None:
        self._lease = lease
        self._interruption = interruption
        self._progress = progress
        self._seconds = deadline
        self._deadline = math.inf if deadline is None else time.monotonic() + deadline
        self._over = threading.Event()
        #: Why the import has to end, once it has.
        self.reason: ImageportError | None = None
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Renew no more: the import is about to give its lease back."""
        self._over.set()
        self._thread.join()

    def check(self) -> None:
        """Raise ``Cancelled``, ``LockLost`` or ``LimitExceeded`` when the import has to end."""
        if self.reason is not None:
            raise self.reason

    def _run(self) -> None:
        # Goes on after a cancellation: rolling back needs the lease as well.
        while not isinstance(self.reason, LockLost) and not self._over.wait(self._pause()):
            before = self.reason
            if before is None and time.monotonic() >= self._deadline:
                self.reason = LimitExceeded(
                    f"the import was not complete after {self._seconds:g} s",
                    hint="use a faster source or store, or raise limits.import_deadline in the site file",
                )
            self._renew()
            if self.reason is not before:
                self._interruption.interrupt()

    def _pause(self) -> float:
        left = self._deadline - time.monotonic() if self.reason is None else RENEW_EVERY
        return min(RENEW_EVERY, max(0.0, left))

    def _renew(self) -> None:
        try:
            cancel = self._lease.renew(dict(self._progress))
        except LockLost as error:
            self.reason = error
        except Exception:  # a catalog that is away for a moment must not end an import; the fence protects
            log.warning("could not renew the lease of task %s", self._lease.task_id, exc_info=True)
        else:
            if cancel and self.reason is None:
                self.reason = Cancelled(
                    f"task {self._lease.task_id} was cancelled", hint="run the import again to start over"
                )
