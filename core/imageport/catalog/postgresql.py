"""A catalog in PostgreSQL, and the outcome of a commit whose answer was lost.

PostgreSQL remembers the end of every recent transaction by its number. A number may be used again only after a crash
in which the server lost transactions that were not on its disk, or on another server that took over; both reset the
statistics of the server, so the time of that reset stands for the server that knows the number.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from types import MappingProxyType
from typing import Any, cast

import psycopg
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.json import Json

from imageport.catalog import postgresql_url
from imageport.catalog.database import Database, Transaction, to_json
from imageport.catalog.failures import BUSY, DISK_FULL, OTHER_TABLES, SERVER, commit_unknown

_CONNECT_SECONDS = 10
#: Seconds to wait for the server to come back, between two tries, and for the server to notice a dead connection.
PATIENCE = 20.0
_PAUSE = 0.1
_NOTICED = 1.0
#: Any numbers, as long as every process uses the same ones: for changes of the tables, and for turns.
TABLES_LOCK = 0x696D6770
_TURN_LOCK = 0x696D7175
#: Seconds to wait for another process that changes the tables.
TABLES_LOCK_SECONDS = 60

#: A transaction that waited for a lock has to see changes of others, whatever the default of the server.
_BEGIN_WRITING = "BEGIN ISOLATION LEVEL READ COMMITTED"
_NUMBER = "SELECT pg_backend_pid(), pg_current_xact_id()::text, pg_stat_get_bgwriter_stat_reset_time()"
_STATUS = "SELECT pg_xact_status(%s::xid8), pg_stat_get_bgwriter_stat_reset_time()"
#: Another session may have the process by now, hence the number.
_TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = %s AND backend_xid = xid(%s::xid8)"
)

_RIGHTS = "check user and password of the catalog, and what that user may do in the database"
#: By the longest beginning of the code, https://www.postgresql.org/docs/current/errcodes-appendix.html
_HINTS = MappingProxyType(
    {
        "08": SERVER,
        "23": OTHER_TABLES,
        "28": _RIGHTS,
        "3D000": "make the database first: createdb NAME",
        "42": OTHER_TABLES,
        "42501": _RIGHTS,
        "53": "the server of the database lacks memory or connections: try again, or raise its limits",
        "53100": DISK_FULL,
        "55P03": BUSY,
        "57P": SERVER,
    }
)


@dataclass(frozen=True, slots=True)
class TransactionNumber:
    """The number of a transaction, the server process that runs it, and the identity of the server."""

    process: int
    number: str
    server: datetime | None


class PostgresqlDatabase(Database):
    """The database that an url of libpq names."""

    driver = psycopg
    table_names = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    column_names = (
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND table_name = :table"
    )
    #: Ids compare byte by byte, so that the beginning of one is a range of the index in every locale.
    types = MappingProxyType(
        {
            "VARCHAR(64)": 'VARCHAR(64) COLLATE "C"',
            "DATETIME": "TIMESTAMP WITH TIME ZONE",
            "number INTEGER": "number SERIAL",
        }
    )
    is_file = False

    def __init__(self, url: str) -> None:
        """Prepare connections. Raises ``UsageError``."""
        self._url = postgresql_url.read(url)
        super().__init__(self._url.shown)
        self.plain_url = self._url.plain

    def connect(self) -> psycopg.Connection[Any]:
        """Return a connection that begins no transaction by itself."""
        connection = psycopg.connect(
            self._url.libpq, autocommit=True, connect_timeout=_CONNECT_SECONDS, client_encoding="utf8"
        )
        connection.adapters.register_loader("timestamptz", _InUtc)
        return connection

    def is_usable(self, connection: psycopg.Connection[Any]) -> bool:
        """Ask the server, which may have been started anew or have closed an idle connection."""
        try:
            connection.execute("")
        except psycopg.Error:
            return False
        return True

    def begin(
        self, connection: psycopg.Connection[Any], *, writes: bool, durable: bool = True
    ) -> TransactionNumber | None:
        """Begin a transaction; one that writes returns its number."""
        if not writes:
            # Several selects make up one record: they have to see one state of the database.
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return None
        connection.execute(_BEGIN_WRITING)
        return TransactionNumber(*_only(connection.execute(_NUMBER)))

    def lock_tables(self, connection: psycopg.Connection[Any]) -> None:
        """Begin a transaction that waits for others that change the tables."""
        connection.execute(_BEGIN_WRITING)
        connection.execute(f"SET LOCAL lock_timeout = '{TABLES_LOCK_SECONDS}s'".encode())
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [TABLES_LOCK])

    def commit(self, connection: psycopg.Connection[Any], begun: TransactionNumber) -> None:
        """Commit. Raises ``CommitUnknown`` when the server does not answer and cannot be asked again."""
        try:
            connection.commit()
        except psycopg.Error as error:
            committed = self.was_committed(begun)
            if committed is None:
                raise commit_unknown(error, self.shown) from error
            if not committed:
                raise

    def was_committed(self, transaction: TransactionNumber) -> bool | None:
        """Return whether *transaction* was committed, on a new connection; None when that cannot be found out.

        A transaction that waits for more from the dead connection is ended.
        """
        begun = time.monotonic()
        while (waited := time.monotonic() - begun) < PATIENCE:
            with suppress(psycopg.Error), self.connect() as connection:
                status, server = _only(connection.execute(_STATUS, [transaction.number]))
                if server != transaction.server or status is None:
                    return None
                if status != "in progress":
                    return bool(status == "committed")
                if waited > _NOTICED:
                    connection.execute(_TERMINATE, [transaction.process, transaction.number])
            time.sleep(_PAUSE)
        return None

    def execute(
        self, connection: psycopg.Connection[Any], statement: str, values: Mapping[str, Any]
    ) -> psycopg.Cursor[Any]:
        """Execute one statement."""
        stored = {
            name: Json(value, to_json) if isinstance(value, Mapping) else value
            for name, value in values.items()
        }
        return connection.execute(_of_psycopg(statement), stored)

    def hint(self, error: Exception) -> str:
        """Return the hint for an error, by its SQLSTATE."""
        state = getattr(error, "sqlstate", None) or "08"
        known = [beginning for beginning in _HINTS if state.startswith(beginning)]
        return _HINTS[max(known, key=len)] if known else "look at the log of the server of the database"

    def current_time(self, transaction: Transaction) -> datetime:
        """Return the time of the server."""
        return cast("datetime", transaction.value("SELECT clock_timestamp()"))

    def take_turn(self, transaction: Transaction, key: str) -> None:
        """Lock the hash of *key*."""
        transaction.row("SELECT pg_advisory_xact_lock(:lock, hashtext(:key))", lock=_TURN_LOCK, key=key)


class _InUtc(TimestamptzLoader):
    def load(self, data: Any) -> datetime:
        return super().load(data).astimezone(UTC)


@lru_cache(maxsize=512)
def _of_psycopg(statement: str) -> bytes:
    """Return the statement with its values named as psycopg wants it: ``%(id)s``."""
    return re.sub(r"(?<!:):(\w+)", r"%(\1)s", statement.replace("%", "%%")).encode()


def _only(cursor: psycopg.Cursor[Any]) -> tuple[Any, ...]:
    [row] = cursor
    return cast("tuple[Any, ...]", row)
