"""The connection to the database: SQLite in WAL mode or PostgreSQL, and its two kinds of transaction."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, cast

from sqlalchemy import URL, Connection, Engine, create_engine, event, func, make_url, select, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError

from imageport.catalog.tables import Utc, metadata
from imageport.errors import ImageportError, UsageError

#: Seconds after which a transaction that waits for its turn is given up, and between two looks whether it has come.
BUSY_SECONDS = 60
_LOOK_AGAIN = 0.02
_CONNECT_SECONDS = 10
_SETUP_LOCK = 0x696D6770  # any number, as long as every process that makes the tables uses the same one


class Database:
    """One catalog database; safe to use from several threads."""

    def __init__(self, url: str) -> None:
        """Connect to *url* and make the tables that are missing. Raises ``UsageError``."""
        parsed = _parse(url)
        self.shown = parsed.render_as_string(hide_password=True)
        # Only one thread waits for other processes that write to an SQLite file; the others wait for that thread.
        self._turn: AbstractContextManager[object] = nullcontext()
        try:
            if parsed.get_backend_name() == "sqlite":
                self._engine = _sqlite(parsed)
                self._reader = self._engine
                self._turn = _Turn()
            else:
                self._engine = _postgresql(parsed)
                # Several selects make up one record: they have to see one state of the database.
                self._reader = self._engine.execution_options(isolation_level="REPEATABLE READ")
            with self._engine.connect().execution_options(write=True) as connection, connection.begin():
                if connection.dialect.name == "postgresql":
                    connection.execute(select(func.pg_advisory_xact_lock(_SETUP_LOCK)))
                metadata.create_all(connection)
        except ModuleNotFoundError as error:
            raise UsageError(
                f"the catalog {self.shown} needs the library {error.name}",
                hint="install it with: pip install 'imageport[postgresql]'",
            ) from error
        except (DBAPIError, OSError, sqlite3.Error) as error:
            raise UsageError(
                f"the catalog {self.shown} cannot be opened: {_reason(error)}",
                hint="check the free space of its disk, that its folder is writable or its server runs, and 'catalog:' "
                "in the site file",
            ) from error

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a transaction that sees one state of the database."""
        with self._translated(), self._reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Connection]:
        """Give a transaction that commits at the end of the block, or leaves no trace when it raises.

        One that is not *durable* does not wait for the disk of an SQLite file: a power failure may undo it, unless a
        durable one has followed.
        """
        with (
            self._translated(),
            self._turn,
            self._engine.connect().execution_options(write=True, durable=durable) as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DataError, UnicodeError, OverflowError) as error:
            raise UsageError(
                f"the catalog cannot keep this value: {_reason(error)}",
                hint="give shorter or smaller values, without control characters",
            ) from error
        except _Busy as error:
            raise ImageportError(
                f"the catalog {self.shown} is busy: {error}",
                hint="look for a process that was stopped while it wrote; PostgreSQL bears more imports at a time",
            ) from error
        except (DBAPIError, sqlite3.Error) as error:
            raise ImageportError(
                f"the catalog {self.shown} failed: {_reason(error)}",
                hint="check the database and the free space of its disk, then try again",
            ) from error


class _Busy(sqlite3.OperationalError):
    """Others have been writing all the time."""

    def __str__(self) -> str:
        return f"others have been writing to it for {BUSY_SECONDS} s"


class _Turn:
    """The right to write, for one thread of this process at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise _Busy

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def current_time(connection: Connection) -> datetime:
    """Return the time by which all processes that share the catalog judge leases."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    return connection.execute(select(func.clock_timestamp(type_=Utc))).scalar_one()


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = parsed.get_backend_name()
    except (ArgumentError, NoSuchModuleError):
        backend = ""
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise UsageError(
            "the url of the catalog is neither SQLite nor PostgreSQL",
            hint="write sqlite:////var/lib/imageport/catalog.db or postgresql+psycopg://user@host/database",
        )
    if parsed.database in {None, "", ":memory:"}:
        raise UsageError(
            f"the catalog {url} names no file",
            hint="write the absolute path of a file after sqlite:///, for instance sqlite:////tmp/catalog.db",
        )
    return parsed


def _postgresql(url: URL) -> Engine:
    return create_engine(
        url,
        json_serializer=_to_json,
        pool_pre_ping=True,
        connect_args={"connect_timeout": _CONNECT_SECONDS},
    )


def _sqlite(url: URL) -> Engine:
    database = url.database or ""
    if not database.startswith("file:"):  # the URIs of SQLite say themselves what may be made
        _make_private(Path(database).absolute())
    # Any number of threads may read at a time.
    engine = create_engine(url, json_serializer=_to_json, pool_size=0, connect_args={"timeout": BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # this module begins transactions itself, see below
        connection.execute("PRAGMA foreign_keys = ON")
        # SQLite does not wait for other processes here.
        _patiently(connection, "PRAGMA journal_mode = WAL")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("write", False):
            connection.execute(text("BEGIN"))
            return
        # A transaction that starts by reading cannot wait for its turn to write: SQLite fails it at once.
        driver = cast("sqlite3.Connection", connection.connection.driver_connection)
        driver.execute(f"PRAGMA synchronous = {'FULL' if options.get('durable', True) else 'NORMAL'}")
        driver.execute("PRAGMA busy_timeout = 0")
        try:
            _patiently(driver, "BEGIN IMMEDIATE")
        finally:
            driver.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")

    return engine


def _make_private(path: Path) -> None:
    """Make the file and its folder for their owner alone, unless they exist. SQLite's other files follow this one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Execute *statement* as soon as no other process is in the way.

    Where SQLite waits itself, it looks the less often the longer it has waited, so that who comes last is served first
    and among many some never are. Here all have the same chance.
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
                raise _Busy from error
            time.sleep(_LOOK_AGAIN)


def _reason(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return " ".join(str(cause).split())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} cannot be kept in the catalog as JSON")


_to_json = partial(json.dumps, default=_plain)
