"""The way to the database: connections, transactions, and the conversion of values.

Statements are SQL that SQLite and PostgreSQL both understand. They name their values, as in ``id = :id``; a list stands
for as many values, as in ``id IN :ids``. Mappings are kept as JSON and times in UTC, and come back as they were.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from typing import Any

from imageport.catalog.failures import opening_failed, use_failed, value_unfit

Row = dict[str, Any]

#: Idle connections that are kept open for the next transactions.
_KEPT = 5


class Database(ABC):
    """One catalog database; safe to use from several threads."""

    #: The library, which has the names of PEP 249.
    driver: Any
    #: The statements that return the names of all tables, and those of the columns of ``:table``.
    table_names: str
    column_names: str
    #: The types of columns that are named otherwise than in ``tables``.
    types: Mapping[str, str]
    #: The url for programs that come with the database, without a password.
    plain_url: str
    #: Whether one machine has the database to itself: a file, which is upgraded when it is opened.
    is_file: bool

    def __init__(self, shown: str) -> None:
        #: The url without its password.
        self.shown = shown
        self._idle: list[Any] = []
        #: A thread holds this while it writes.
        self._turn: AbstractContextManager[object] = nullcontext()

    # ------------------------------------------------------------------------------------- of each database

    @abstractmethod
    def connect(self) -> Any:
        """Return a new connection, which is in no transaction."""

    @abstractmethod
    def begin(self, connection: Any, *, writes: bool, durable: bool = True) -> Any:
        """Begin a transaction, and return its state for ``commit``."""

    @abstractmethod
    def commit(self, connection: Any, begun: Any) -> None:
        """Commit; when the connection dies before the answer, find out whether that was done."""

    @abstractmethod
    def execute(self, connection: Any, statement: str, values: Mapping[str, Any]) -> Any:
        """Execute one statement and return its cursor."""

    @abstractmethod
    def lock_tables(self, connection: Any) -> None:
        """Begin a transaction in which no other process changes the tables."""

    @abstractmethod
    def hint(self, error: Exception) -> str:
        """Return the hint for an error of the driver."""

    def is_usable(self, connection: Any) -> bool:
        """Return whether a connection that was idle still reaches the database."""
        return True

    def decoder(self, column: str) -> Callable[[Any], Any] | None:
        """Return the converter for values of this column, None when the driver converts them."""
        return None

    def current_time(self, transaction: Transaction) -> datetime:
        """Return the time by which all processes that share the catalog judge leases."""
        return datetime.now(UTC)

    def take_turn(self, transaction: Transaction, key: str) -> None:  # noqa: B027 - a file has one writer at a time
        """Wait for the end of other transactions that took the turn of *key*, if others can write at all."""

    # ---------------------------------------------------------------------------------------- transactions

    @contextmanager
    def opening(self) -> Iterator[Transaction]:
        """Give the first transaction, which reads. Raises ``UsageError`` when the database cannot be opened."""
        with self.opening_errors(), self._connected() as connection:
            self.begin(connection, writes=False)
            yield Transaction(self, connection)

    @contextmanager
    def changing_tables(self) -> Iterator[Transaction]:
        """Give a transaction in which no other process changes the tables, on a separate connection."""
        with self.opening_errors(), closing(self.connect()) as connection:
            self.lock_tables(connection)
            yield Transaction(self, connection)
            connection.commit()

    @contextmanager
    def opening_errors(self) -> Iterator[None]:
        """Turn errors of the driver into a ``UsageError``: the database cannot be opened."""
        try:
            yield
        except (self.driver.Error, OSError) as error:
            raise opening_failed(error, self.shown, self.hint(error)) from error

    def close(self) -> None:
        """Close every connection that is idle."""
        while (connection := self._idle_one()) is not None:
            connection.close()

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """Give a transaction that sees one state of the database."""
        with self._translated(), self._connected() as connection:
            self.begin(connection, writes=False)
            yield Transaction(self, connection)
            # There is nothing to commit, so no answer to it that may be lost.

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Transaction]:
        """Give a transaction that commits at the end of the block, or leaves no trace when it raises.

        One that is not *durable* does not wait for the disk of an SQLite file: a power failure may undo it, unless a
        durable one has followed. Raises ``CommitUnknown`` when the connection dies before the commit is answered, and
        its outcome cannot be found out.
        """
        with self._translated(), self._turn, self._connected() as connection:
            begun = self.begin(connection, writes=True, durable=durable)
            yield Transaction(self, connection)
            self.commit(connection, begun)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """Give a connection, and end the transaction that it is still in when the block ends."""
        connection = self._taken()
        try:
            yield connection
        finally:
            try:
                connection.rollback()
                is_kept = len(self._idle) < _KEPT
            except self.driver.Error:
                is_kept = False
            if is_kept:
                self._idle.append(connection)
            else:
                connection.close()

    def _taken(self) -> Any:
        connection = self._idle_one()
        if connection is None:
            return self.connect()
        if self.is_usable(connection):
            return connection
        connection.close()
        # The others do not reach the database either, and a server that is out of reach may take minutes to show it.
        self.close()
        return self.connect()

    def _idle_one(self) -> Any:
        try:
            return self._idle.pop()
        except IndexError:  # another thread may take the last one
            return None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (self.driver.DataError, UnicodeError, OverflowError) as error:
            raise value_unfit(error) from error
        except self.driver.Error as error:
            raise use_failed(error, self.shown, self.hint(error)) from error


class Transaction:
    """A transaction that is under way."""

    def __init__(self, database: Database, connection: Any) -> None:
        self._database = database
        self.connection = connection

    def rows(self, statement: str, /, **values: Any) -> list[Row]:
        """Return all rows that the statement finds, as values by the names of their columns."""
        cursor = self._execute(statement, values)
        columns = [(column[0], self._database.decoder(column[0])) for column in cursor.description]
        return [
            {
                name: value if decode is None or value is None else decode(value)
                for (name, decode), value in zip(columns, row, strict=True)
            }
            for row in cursor
        ]

    def row(self, statement: str, /, **values: Any) -> Row | None:
        """Return the first row, if there is one."""
        return next(iter(self.rows(statement, **values)), None)

    def column(self, statement: str, /, **values: Any) -> list[Any]:
        """Return the first value of every row."""
        return [next(iter(row.values())) for row in self.rows(statement, **values)]

    def value(self, statement: str, /, **values: Any) -> Any:
        """Return the first value of the first row, None when there is no row."""
        return next(iter(self.column(statement, **values)), None)

    def change(self, statement: str, /, **values: Any) -> int:
        """Return how many rows the statement has changed."""
        return int(self._execute(statement, values).rowcount)

    def insert(self, table: str, row: Mapping[str, Any], *, unless_there: bool = False) -> bool:
        """Add a row; False when it is not added because, *unless_there*, one has its key."""
        names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
        end = " ON CONFLICT DO NOTHING" if unless_there else ""
        return self.change(f"INSERT INTO {table} ({names}) VALUES ({values}){end}", **row) > 0

    def update(self, table: str, changes: Mapping[str, Any], where: str, /, **values: Any) -> int:
        """Set these columns in all rows *where* a condition with *values* holds; return how many there are."""
        new = {f"new_{name}": value for name, value in changes.items()}
        changed = ", ".join(f"{name} = :new_{name}" for name in changes)
        return self.change(f"UPDATE {table} SET {changed} WHERE {where}", **new, **values)

    def now(self) -> datetime:
        """Return the time by which all processes that share the catalog judge leases."""
        return self._database.current_time(self)

    def take_turn(self, key: str) -> None:
        """Wait for the end of other transactions that took the turn of *key*, and take it."""
        self._database.take_turn(self, key)

    def _execute(self, statement: str, values: Mapping[str, Any]) -> Any:
        return self._database.execute(self.connection, *_without_lists(statement, values))


class CatalogPart:
    """Some of the methods of a catalog, each of which is one transaction in *database*."""

    def __init__(self, database: Database) -> None:
        self._database = database


class Values(dict[str, Any]):
    """Values of a statement whose text is put together: ``add`` returns the placeholder of one of them."""

    def add(self, value: Any) -> str:
        """Add a value and return its place in the statement."""
        name = f"value_{len(self)}"
        self[name] = value
        return f":{name}"


def _without_lists(statement: str, values: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Put as many values into the statement as each list has."""
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if not isinstance(value, list | tuple | set | frozenset):
            plain[name] = value
            continue
        parts = {f"{name}_{number}": part for number, part in enumerate(value)}
        places = ", ".join(f":{part}" for part in parts) or "NULL"
        statement = re.sub(rf":{name}\b", f"({places})", statement)
        plain |= parts
    return statement, plain


def _as_dict(value: Any) -> dict[Any, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} cannot be kept in the catalog as JSON")


to_json = partial(json.dumps, default=_as_dict)
