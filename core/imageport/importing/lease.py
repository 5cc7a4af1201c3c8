"""Keeps the lease of a running import alive, whatever the data does."""

from __future__ import annotations

import logging
import threading
from typing import Any

from imageport.catalog import Catalog, Lease
from imageport.errors import Cancelled, ImageportError, LockLost
from imageport.importing.interruption import Interruption

log = logging.getLogger(__name__)

#: Seconds after which an import that shows no sign of life may be taken over, and between two signs.
LEASE_SECONDS = 60.0
RENEW_EVERY = 5.0


class LeaseKeeper:
    """Renews a lease in a thread of its own until it is stopped; interrupts the import that has to end."""

    def __init__(
        self, catalog: Catalog, lease: Lease, interruption: Interruption, progress: dict[str, Any]
    ) -> None:
        self._catalog = catalog
        self._lease = lease
        self._interruption = interruption
        self._progress = progress
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
        """Raise ``Cancelled`` or ``LockLost`` when the import was told to end."""
        if self.reason is not None:
            raise self.reason

    def _run(self) -> None:
        # Goes on after a cancellation: rolling back needs the lease as well.
        while not isinstance(self.reason, LockLost) and not self._over.wait(RENEW_EVERY):
            before = self.reason
            self._renew()
            if self.reason is not before:
                self._interruption.interrupt()

    def _renew(self) -> None:
        try:
            cancel = self._catalog.renew(
                self._lease, lease_seconds=LEASE_SECONDS, progress=dict(self._progress)
            )
        except LockLost as error:
            self.reason = error
        except Exception:  # a catalog that is away for a moment must not end an import; the fence protects
            log.warning("could not renew the lease of task %s", self._lease.task_id, exc_info=True)
        else:
            if cancel and self.reason is None:
                self.reason = Cancelled(
                    f"task {self._lease.task_id} was cancelled", hint="run the import again to start over"
                )
