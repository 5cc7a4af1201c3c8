"""Plans of the database for the statements that a test executes: how it finds their rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any
from unittest.mock import patch

from imageport.catalog.database import Database
from imageport.catalog.postgresql import PostgresqlDatabase
from imageport.catalog.schema import open_database
from imageport.catalog.sqlite import SqliteDatabase

Statement = tuple[str, Mapping[str, Any]]


@contextmanager
def recorded_statements() -> Iterator[list[Statement]]:
    """Give the list of what is executed in all databases until the block ends."""
    found: list[Statement] = []

    def recording(owner: type[Database]) -> Any:
        execute = owner.execute

        def record(database: Database, connection: Any, statement: str, values: Mapping[str, Any]) -> Any:
            found.append((statement, values))
            return execute(database, connection, statement, values)

        return patch.object(owner, "execute", record)

    with recording(SqliteDatabase), recording(PostgresqlDatabase):
        yield found


def plans(url: str, statements: list[Statement]) -> dict[str, list[str]]:
    """Return how the database at *url* executes each statement: the lines of its plan."""
    with closing(open_database(url)) as database, database.writing() as transaction:
        explain = "EXPLAIN QUERY PLAN " if database.is_file else "EXPLAIN "
        if not database.is_file:
            # What is so small would be read whole.
            transaction.change("SET LOCAL enable_seqscan = off")
        return {
            statement: [
                str(list(row.values())[-1]) for row in transaction.rows(explain + statement, **values)
            ]
            for statement, values in statements
        }
