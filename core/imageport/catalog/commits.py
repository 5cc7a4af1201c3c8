"""Find out whether a transaction was committed when the connection died before the answer.

PostgreSQL remembers the end of every recent transaction by its number. A number may be used again only after a crash
in which the server lost transactions that were not on its disk, or on another server that took over; both reset the
statistics of the server, so the time of that reset stands for the server that knows the number.

SQLite commits within this process. A commit that fails is rolled back before the failure is reported.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

#: Seconds to wait for the server to come back, between two tries, and for the server to notice a dead connection.
PATIENCE = 20.0
_PAUSE = 0.1
_NOTICED = 1.0

_NUMBER = text("SELECT pg_backend_pid(), pg_current_xact_id()::text, pg_stat_get_bgwriter_stat_reset_time()")
_STATUS = text("SELECT pg_xact_status(CAST(:number AS xid8)), pg_stat_get_bgwriter_stat_reset_time()")
#: Another session may have the process by now, hence the number.
_TERMINATE = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE pid = :process AND backend_xid = xid(CAST(:number AS xid8))"
)


@dataclass(frozen=True, slots=True)
class TransactionNumber:
    """The number of a transaction of PostgreSQL, the server process that runs it, and what stands for the server."""

    process: int
    number: str
    server: datetime | None


def number_of(connection: Connection) -> TransactionNumber | None:
    """Return the number of the transaction of *connection*; None for SQLite."""
    if connection.dialect.name != "postgresql":
        return None
    return TransactionNumber(*connection.execute(_NUMBER).one())


def was_committed(engine: Engine, transaction: TransactionNumber) -> bool | None:
    """Return whether *transaction* was committed, on a new connection; None when that cannot be found out.

    A transaction that waits for more from the dead connection is ended.
    """
    begun = time.monotonic()
    parameters = {"process": transaction.process, "number": transaction.number}
    while (waited := time.monotonic() - begun) < PATIENCE:
        with suppress(DBAPIError), engine.connect() as connection:
            status, server = connection.execute(_STATUS, parameters).one()
            if server != transaction.server or status is None:
                return None
            if status != "in progress":
                return bool(status == "committed")
            if waited > _NOTICED:
                connection.execute(_TERMINATE, parameters)
        time.sleep(_PAUSE)
    return None
