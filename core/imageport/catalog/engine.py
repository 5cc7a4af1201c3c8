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
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError

from imageport.catalog.commits import number_of, was_committed
from imageport.catalog.failures import Busy, commit_unknown, opening_failed, use_failed
from imageport.catalog.tables import Utc
from imageport.errors import UsageError

#: Seconds after which a transaction that waits for its turn is given up, and between two looks whether it has come.
BUSY_SECONDS = 60
_LOOK_AGAIN = 0.02
_CONNECT_SECONDS = 10


class Database:
    """One catalog database; safe to use from several threads."""

    def __init__(self, url: str) -> None:
        """Prepare connections to *url*. Raises ``UsageError``."""
        parsed = _parse(url)
        self.shown = parsed.render_as_string(hide_password=True)
        # Only one thread waits for other processes that write to an SQLite file; the others wait for that thread.
        self._turn: AbstractContextManager[object] = nullcontext()
        self.is_file = parsed.get_backend_name() == "sqlite"
        with self.opening():
            if self.is_file:
                self.engine = _sqlite(parsed)
                self._reader = self.engine
                self._turn = _Turn()
            else:
                self.engine = _postgresql(parsed)
                # Several selects make up one record: they have to see one state of the database.
                self._reader = self.engine.execution_options(isolation_level="REPEATABLE READ")

    @contextmanager
    def opening(self) -> Iterator[None]:
        """Turn errors of the driver into a ``UsageError``: the database cannot be opened."""
        try:
            yield
        except ModuleNotFoundError as error:
            raise UsageError(
                f"the catalog {self.shown} needs the library {error.name}",
                hint="install it with: pip install 'imageport[postgresql]'",
            ) from error
        except (DBAPIError, OSError, sqlite3.Error) as error:
            raise opening_failed(error, self.shown) from error

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a transaction that sees one state of the database."""
        with self._translated(), self._reader.connect() as connection, connection.begin() as transaction:
            yield connection
            # There is nothing to commit, so no answer to it that may be lost.
            transaction.rollback()

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Connection]:
        """Give a transaction that commits at the end of the block, or leaves no trace when it raises.

        One that is not *durable* does not wait for the disk of an SQLite file: a power failure may undo it, unless a
        durable one has followed. When the connection dies before the commit is answered, the server is asked whether
        the transaction was committed. Raises ``CommitUnknown`` when that cannot be found out.
        """
        number = None
        is_ending = False
        with (
            self._translated(),
            self._turn,
            self.engine.connect().execution_options(write=True, durable=durable) as connection,
        ):
            try:
                with connection.begin():
                    number = number_of(connection)
                    yield connection
                    is_ending = True
            except DBAPIError as error:
                if not is_ending or number is None:
                    raise
                committed = was_committed(self.engine, number)
                if committed is None:
                    raise commit_unknown(error, self.shown) from error
                if not committed:
                    raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, sqlite3.Error, UnicodeError, OverflowError) as error:
            raise use_failed(error, self.shown) from error


class _Turn:
    """The right to write, for one thread of this process at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        if not self._lock.acquire(timeout=BUSY_SECONDS):
            raise Busy(BUSY_SECONDS)

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
        use_native_hstore=False,  # nothing here is one, and to ask for its type is a transaction of its own
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
                raise Busy(BUSY_SECONDS) from error
            time.sleep(_LOOK_AGAIN)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} cannot be kept in the catalog as JSON")


_to_json = partial(json.dumps, default=_plain)
