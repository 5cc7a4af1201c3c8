"""The revision of the tables: made in a new database, upgraded in an older one, refused in all other databases.

Alembic runs the steps, and is not loaded for a catalog that is up to date: that is opened by reading one row. A new
catalog is made of the tables as they are after all steps.
"""

from __future__ import annotations

import importlib.metadata
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from imageport.catalog import tables
from imageport.catalog.backup import back_up
from imageport.catalog.database import Database, Transaction
from imageport.catalog.lifecycle import UNFINISHED
from imageport.catalog.migrations.steps.v0001_base import COLUMNS
from imageport.catalog.processes import is_dead
from imageport.catalog.tables import REVISIONS, VERSION_TABLE
from imageport.errors import Conflict, ImageportError, UsageError


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The upgrade of an older catalog: its revisions, and its backup (None for PostgreSQL)."""

    before: str
    after: str
    backup: Path | None


@dataclass(frozen=True, slots=True)
class _Version:
    revision: str
    release: str


def open_database(url: str) -> Database:
    """Return the database at *url*, to which no connection is made yet. Raises ``UsageError``."""
    backend = url.partition("://")[0].partition("+")[0]
    if backend == "sqlite":
        from imageport.catalog.sqlite import SqliteDatabase  # noqa: PLC0415 - a start imports one driver

        return SqliteDatabase(url)
    if backend != "postgresql":
        raise UsageError(
            "the url of the catalog is neither SQLite nor PostgreSQL",
            hint="write sqlite:////var/lib/imageport/catalog.db or postgresql+psycopg://user@host/database",
        )
    try:
        from imageport.catalog.postgresql import PostgresqlDatabase  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        raise UsageError(
            f"a catalog in PostgreSQL needs the library {error.name}",
            hint="install it with: pip install 'imageport[postgresql]'",
        ) from error
    return PostgresqlDatabase(url)


def prepare(database: Database, *, upgrade: bool) -> Upgrade | None:
    """Make missing tables and upgrade older ones; return the upgrade.

    PostgreSQL is shared with other machines, hence upgraded only with *upgrade*. Raises ``UsageError`` for
    a database that is not a catalog, or one of a newer Imageport; ``Conflict`` while an import is running.
    """
    with database.opening() as transaction:
        present = transaction.column(database.table_names)
        if VERSION_TABLE in present and _version_row(transaction).revision == REVISIONS[-1]:
            return None
    with database.changing_tables() as transaction:
        # Another process may have been faster.
        found = _version(database, transaction)
        if found is None:
            _make_tables(database, transaction)
            return None
        if found.revision == REVISIONS[-1]:
            return None
        if not upgrade and not database.is_file:
            raise UsageError(
                f"the catalog {database.shown} is of Imageport {found.release}, revision {found.revision}; Imageport "
                f"{_this_release()} needs revision {REVISIONS[-1]}",
                hint=f"stop all imports, make a backup with: {backup_command(database)}; then run "
                "'imageport upgrade-db'",
            )
        return _upgrade(database, transaction, found)


def backup_command(database: Database) -> str:
    """Return the command that makes a backup of a PostgreSQL catalog; it asks for the password, if there is one."""
    return f"pg_dump --format=custom --file=catalog.dump '{database.plain_url}'"


def _version(database: Database, transaction: Transaction) -> _Version | None:
    """Return the version of the tables, None where there are none. Raises ``UsageError`` for others."""
    present = transaction.column(database.table_names)
    if VERSION_TABLE in present:
        found = _version_row(transaction)
        if found.revision not in REVISIONS:
            raise UsageError(
                f"the catalog {database.shown} was made by a newer Imageport, {found.release}: its revision "
                f"{found.revision} is unknown to this one, {_this_release()}, which knows {REVISIONS[-1]}",
                hint=f"install Imageport {found.release} or newer; or restore the backup that was made before the "
                "upgrade, which loses what was changed since",
            )
        return found
    if not set(COLUMNS) & set(present) and not (present and database.is_file):
        return None
    for table, columns in COLUMNS.items():
        found_columns = set(transaction.column(database.column_names, table=table))
        if found_columns != columns:
            raise _unknown(database, table, found_columns, columns)
    return _Version("0001", "0.1.0")


def _version_row(transaction: Transaction) -> _Version:
    row = transaction.row(f"SELECT version_num, release FROM {VERSION_TABLE}")
    return _Version(row["version_num"], row["release"]) if row else _Version("none", "unknown")


def _unknown(database: Database, table: str, found: set[str], expected: set[str]) -> UsageError:
    if not found:
        differs = f"it has other tables, and no table {table}"
    else:
        lacks, more = sorted(expected - found), sorted(found - expected)
        differs = f"table {table} " + " and ".join(
            f"{verb} {', '.join(names)}" for verb, names in (("lacks", lacks), ("has besides", more)) if names
        )
    return UsageError(
        f"the database {database.shown} is not a catalog of Imageport: {differs}",
        hint="name another database under 'catalog:' in the site file, or restore a backup of this one",
    )


def _make_tables(database: Database, transaction: Transaction) -> None:
    _execute(database, transaction, *tables.ALL)
    transaction.insert(VERSION_TABLE, {"version_num": REVISIONS[-1], "release": _this_release()})


def _execute(database: Database, transaction: Transaction, *statements: str) -> None:
    text = ";".join(statements)
    for usual, here in database.types.items():
        text = text.replace(usual, here)
    for statement in text.split(";"):
        transaction.change(statement.strip())


def _upgrade(database: Database, transaction: Transaction, found: _Version) -> Upgrade:
    _require_idle(database, transaction)
    backup = _backup(database, transaction, found)
    from imageport.catalog.migrations.running import run_steps  # noqa: PLC0415 - slow to load, seldom needed

    if VERSION_TABLE not in transaction.column(database.table_names):
        _execute(database, transaction, tables.VERSION)
        transaction.insert(VERSION_TABLE, {"version_num": found.revision, "release": found.release})
    run_steps(transaction.connection, REVISIONS[-1], is_sqlite=database.is_file)
    transaction.change(f"UPDATE {VERSION_TABLE} SET release = :release", release=_this_release())
    if database.is_file and (orphans := transaction.column("PRAGMA foreign_key_check")):
        raise ImageportError(
            f"the catalog {database.shown} cannot be upgraded: {len(orphans)} rows of table {orphans[0]} belong "
            "to images that do not exist",
            hint="the catalog is unchanged; restore a backup, or delete these rows",
        )
    return Upgrade(found.revision, REVISIONS[-1], backup)


def _require_idle(database: Database, transaction: Transaction) -> None:
    now = transaction.now()
    for task in transaction.rows(
        "SELECT id, holder, lease_expires_at FROM tasks WHERE status IN :unfinished", unfinished=UNFINISHED
    ):
        if not is_dead(task["holder"], task["lease_expires_at"], now):
            host, pid, _ = task["holder"].rsplit(":", 2)
            raise Conflict(
                f"the catalog {database.shown} cannot be upgraded: task {task['id']} of process {pid} on {host} "
                "uses it",
                hint="wait for the end of all imports, or cancel them with the Imageport that runs them",
            )


def _backup(database: Database, transaction: Transaction, found: _Version) -> Path | None:
    """Copy an SQLite file, which no other process changes until the transaction ends."""
    if not database.is_file:
        return None
    path = Path(transaction.value("SELECT file FROM pragma_database_list"))
    try:
        return back_up(path, found.revision, transaction.now())
    except (OSError, sqlite3.Error) as error:
        raise ImageportError(
            f"the catalog {database.shown} cannot be upgraded: its backup cannot be written: {error}",
            hint=f"make room in {path.parent}, or let this user write to it; the catalog is unchanged",
        ) from error


def _this_release() -> str:
    return importlib.metadata.version("imageport")
