"""A catalog in an SQLite file in WAL mode: any number of readers beside one writer at a time."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote

from imageport.catalog.database import Database, to_json
from imageport.catalog.failures import BUSY, DISK_FULL, NOT_PERMITTED, OTHER_TABLES, busy
from imageport.errors import UsageError

#: Seconds after which a transaction that waits for its turn is given up, and between two looks whether it has come.
BUSY_SECONDS = 60
_LOOK_AGAIN = 0.02

#: By the primary result code, https://www.sqlite.org/rescode.html
_HINTS = MappingProxyType(
    {
        sqlite3.SQLITE_ERROR: OTHER_TABLES,
        sqlite3.SQLITE_CONSTRAINT: OTHER_TABLES,
        sqlite3.SQLITE_MISMATCH: OTHER_TABLES,
        sqlite3.SQLITE_PERM: NOT_PERMITTED,
        sqlite3.SQLITE_READONLY: NOT_PERMITTED,
        sqlite3.SQLITE_CANTOPEN: NOT_PERMITTED,
        sqlite3.SQLITE_FULL: DISK_FULL,
        sqlite3.SQLITE_IOERR: "check the disk of the catalog and the log of the system",
        sqlite3.SQLITE_CORRUPT: "the file of the catalog is damaged: restore a backup",
        sqlite3.SQLITE_NOTADB: "name the file of a catalog, or a new one, under 'catalog:' in the site file",
        sqlite3.SQLITE_BUSY: BUSY,
        sqlite3.SQLITE_LOCKED: BUSY,
    }
)

_SYSTEM_HINTS = MappingProxyType(
    {
        errno.EACCES: NOT_PERMITTED,
        errno.EPERM: NOT_PERMITTED,
        errno.EROFS: NOT_PERMITTED,
        errno.ENOSPC: DISK_FULL,
        errno.EDQUOT: DISK_FULL,
    }
)

#: SQLite keeps these as texts and numbers; columns of times end with ``_at``.
_JSON = frozenset({"cause", "input", "metadata", "progress", "result", "snapshot", "touched"})
_BOOLEANS = frozenset({"cancel_requested", "protected"})


class SqliteDatabase(Database):
    """The database in the file that an url names after ``sqlite:///``."""

    driver = sqlite3
    table_names = "SELECT name FROM sqlite_master WHERE type = 'table'"
    column_names = "SELECT name FROM pragma_table_info(:table)"
    types: Mapping[str, str] = MappingProxyType({})
    is_file = True

    def __init__(self, url: str) -> None:
        """Prepare connections, and make the file if it is missing. Raises ``UsageError``."""
        super().__init__(url)
        self.plain_url = url
        self._path = url.partition(":///")[2]
        self._is_uri = self._path.startswith("file:")
        if not self._is_uri:
            # This module sets all that other options could; a URI of SQLite has its own.
            self._path = unquote(self._path.partition("?")[0])
        if self._path in {"", ":memory:"} or "\0" in self._path:
            raise UsageError(
                f"the catalog {url} names no file",
                hint="write the absolute path of a file after sqlite:///, for instance sqlite:////tmp/catalog.db",
            )
        # Only one thread waits for other processes that write to the file; the others wait for that thread.
        self._turn = _Turn(self)
        if not self._is_uri:
            # A program may change its directory between two connections.
            self._path = str(Path(self._path).absolute())
            with self.opening_errors():
                _make_private(Path(self._path))

    def connect(self) -> sqlite3.Connection:
        """Return a connection that begins no transaction by itself."""
        connection = sqlite3.connect(
            self._path, BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=self._is_uri
        )
        try:
            connection.execute("PRAGMA foreign_keys = ON")
            # SQLite does not wait for other processes here.
            self._patiently(connection, "PRAGMA journal_mode = WAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def begin(self, connection: sqlite3.Connection, *, writes: bool, durable: bool = True) -> None:
        """Begin a transaction; one that writes waits for its turn."""
        if not writes:
            connection.execute("BEGIN")
            return
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("PRAGMA busy_timeout = 0")
        try:
            # A transaction that starts by reading cannot wait for its turn to write: SQLite fails it at once.
            self._patiently(connection, "BEGIN IMMEDIATE")
        finally:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")

    def lock_tables(self, connection: sqlite3.Connection) -> None:
        """Begin a transaction that writes, in which foreign keys are not enforced."""
        # While a table is copied and dropped, a foreign key would delete the rows that refer to it.
        # Within a transaction it cannot be switched off.
        connection.execute("PRAGMA foreign_keys = OFF")
        self.begin(connection, writes=True)

    def commit(self, connection: sqlite3.Connection, begun: None) -> None:
        """Commit in this process. When that fails, SQLite has rolled back before it reports the failure."""
        connection.commit()

    def execute(
        self, connection: sqlite3.Connection, statement: str, values: Mapping[str, Any]
    ) -> sqlite3.Cursor:
        """Execute one statement; the one writer needs no locks of rows."""
        stored = {name: _stored(value) for name, value in values.items()}
        return connection.execute(statement.replace(" FOR UPDATE", ""), stored)

    def decoder(self, column: str) -> Callable[[Any], Any] | None:
        """Return the converter for a column with JSON, booleans or times, else None."""
        if column.endswith("_at"):
            return _time
        return json.loads if column in _JSON else bool if column in _BOOLEANS else None

    def hint(self, error: Exception) -> str:
        """Return the hint for an error, by its result code."""
        if isinstance(error, OSError):
            return _SYSTEM_HINTS.get(error.errno or 0, "check the path under 'catalog:' in the site file")
        return _HINTS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "check the file of the catalog")

    def _patiently(self, connection: sqlite3.Connection, statement: str) -> None:
        """Execute *statement* as soon as no other process is in the way.

        Where SQLite waits itself, it looks the less often the longer it has waited, so that a process that comes last
        is served first and among many some never are. Here all have the same chance.
        """
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                connection.execute(statement)
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    raise
                if time.monotonic() > deadline:
                    raise busy(BUSY_SECONDS, self.shown) from error
                time.sleep(_LOOK_AGAIN)


class _Turn:
    """The right to write, for one thread of this process at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise busy(BUSY_SECONDS, self._database.shown)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def _make_private(path: Path) -> None:
    """Make the file and its folder for their owner alone, unless they exist. SQLite's other files follow this one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _stored(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    return to_json(value) if isinstance(value, Mapping) else value


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
