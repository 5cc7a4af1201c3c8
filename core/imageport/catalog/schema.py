"""The revision of the tables: made in a new database, upgraded in an older one, refused in what is neither.

Alembic runs the steps, and is not loaded for a catalog that is up to date: that is opened by reading one row.
"""

from __future__ import annotations

import importlib.metadata
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL, Connection, func, insert, inspect, select, text, update

from imageport.catalog.backup import back_up
from imageport.catalog.engine import Database, current_time
from imageport.catalog.lifecycle import UNFINISHED
from imageport.catalog.migrations.steps.v0001_base import COLUMNS
from imageport.catalog.processes import is_dead
from imageport.catalog.tables import metadata, tasks, version
from imageport.errors import Conflict, ImageportError, UsageError

#: All revisions, oldest first; each is a file in ``migrations/steps``.
REVISIONS = ("0001", "0002", "0003", "0004")

_LOCK = 0x696D6770  # any number, as long as every process that makes or changes the tables uses the same one
_LOCK_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What became of an older catalog: its revisions, and the copy of it (None for PostgreSQL)."""

    before: str
    after: str
    backup: Path | None


@dataclass(frozen=True, slots=True)
class _Version:
    revision: str
    release: str


class Schema:
    """The tables in *database*."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self._shown = database.shown

    def prepare(self, *, upgrade: bool) -> Upgrade | None:
        """Make missing tables and upgrade older ones; return what was upgraded.

        PostgreSQL is shared with other machines, hence upgraded only when *upgrade* says so. Raises ``UsageError`` for
        a database that is no catalog, or one of a newer Imageport; ``Conflict`` while an import is running.
        """
        with self._engine.connect() as connection:
            if _revision(connection) == REVISIONS[-1]:
                return None
        with self._changing() as connection:
            # Another process may have been faster.
            found = self._version(connection)
            if found is None:
                metadata.create_all(connection)
                connection.execute(
                    insert(version), {"version_num": REVISIONS[-1], "release": _this_release()}
                )
                return None
            if found.revision == REVISIONS[-1]:
                return None
            if not upgrade and connection.dialect.name != "sqlite":
                raise self._needs_command(found, connection)
            return self._upgrade(connection, found)

    @contextmanager
    def _changing(self) -> Iterator[Connection]:
        """Give a transaction in which nobody else changes the tables."""
        with self._engine.connect().execution_options(write=True) as connection:
            try:
                if connection.dialect.name == "sqlite":
                    # While a table is copied and dropped, a foreign key would delete the rows that refer to it.
                    # Within a transaction it cannot be switched off.
                    connection.connection.cursor().execute("PRAGMA foreign_keys = OFF")
                with connection.begin():
                    if connection.dialect.name == "postgresql":
                        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'"))
                        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
                    yield connection
            finally:
                connection.invalidate()

    def _version(self, connection: Connection) -> _Version | None:
        """Return the version of the tables, None where there are none. Raises ``UsageError`` for others."""
        present = inspect(connection).get_table_names()
        if version.name in present:
            row = connection.execute(select(version.c.version_num, version.c.release)).first()
            found = _Version(*row) if row else _Version("none", "unknown")
            if found.revision not in REVISIONS:
                raise UsageError(
                    f"the catalog {self._shown} was made by a newer Imageport, {found.release}: its revision "
                    f"{found.revision} is unknown to this one, {_this_release()}, which knows {REVISIONS[-1]}",
                    hint=f"install Imageport {found.release} or newer; or restore the backup that was made before the "
                    "upgrade, which loses what was changed since",
                )
            return found
        if not set(COLUMNS) & set(present) and (not present or connection.dialect.name != "sqlite"):
            return None
        for table, columns in COLUMNS.items():
            found_columns = (
                {column["name"] for column in inspect(connection).get_columns(table)}
                if table in present
                else set()
            )
            if found_columns != columns:
                raise self._unknown(table, found_columns, columns)
        return _Version("0001", "0.1.0")

    def _unknown(self, table: str, found: set[str], expected: set[str]) -> UsageError:
        if not found:
            differs = f"it has other tables, and no table {table}"
        else:
            lacks, more = sorted(expected - found), sorted(found - expected)
            differs = f"table {table} " + " and ".join(
                f"{verb} {', '.join(names)}"
                for verb, names in (("lacks", lacks), ("has besides", more))
                if names
            )
        return UsageError(
            f"the database {self._shown} is not a catalog of Imageport: {differs}",
            hint="name another database under 'catalog:' in the site file, or restore a backup of this one",
        )

    def _needs_command(self, found: _Version, connection: Connection) -> UsageError:
        return UsageError(
            f"the catalog {self._shown} is of Imageport {found.release}, revision {found.revision}; Imageport "
            f"{_this_release()} needs revision {REVISIONS[-1]}",
            hint=f"stop all imports, make a backup with: {backup_command(connection.engine.url)}; then run "
            "'imageport upgrade-db'",
        )

    def _upgrade(self, connection: Connection, found: _Version) -> Upgrade:
        self._require_idle(connection)
        backup = self._backup(connection, found)
        from imageport.catalog.migrations.running import run_steps  # noqa: PLC0415 - slow to load, seldom needed

        if not inspect(connection).has_table(version.name):
            version.create(connection)
            connection.execute(insert(version), {"version_num": found.revision, "release": found.release})
        run_steps(connection, REVISIONS[-1])
        connection.execute(update(version).values(release=_this_release()))
        if connection.dialect.name == "sqlite" and (
            orphans := connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        ):
            raise ImageportError(
                f"the catalog {self._shown} cannot be upgraded: {len(orphans)} rows of table {orphans[0][0]} belong "
                "to images that do not exist",
                hint="the catalog is unchanged; restore a backup, or delete these rows",
            )
        return Upgrade(found.revision, REVISIONS[-1], backup)

    def _require_idle(self, connection: Connection) -> None:
        now = current_time(connection)
        leases = select(tasks.c.id, tasks.c.holder, tasks.c.lease_expires_at).where(
            tasks.c.status.in_(UNFINISHED)
        )
        for task_id, holder, expires_at in connection.execute(leases):
            if not is_dead(holder, expires_at, now):
                host, pid, _ = holder.rsplit(":", 2)
                raise Conflict(
                    f"the catalog {self._shown} cannot be upgraded: task {task_id} of process {pid} on {host} uses it",
                    hint="wait for the end of all imports, or cancel them with the Imageport that runs them",
                )

    def _backup(self, connection: Connection, found: _Version) -> Path | None:
        """Copy an SQLite file, which nobody else changes until the transaction ends."""
        if connection.dialect.name != "sqlite":
            return None
        path = Path(connection.exec_driver_sql("PRAGMA database_list").first()[2])  # type: ignore[index]
        try:
            return back_up(path, found.revision, current_time(connection))
        except (OSError, sqlite3.Error) as error:
            raise ImageportError(
                f"the catalog {self._shown} cannot be upgraded: its backup cannot be written: {error}",
                hint=f"make room in {path.parent}, or let this user write to it; the catalog is unchanged",
            ) from error


def backup_command(url: URL) -> str:
    """Return the command that makes a backup of a PostgreSQL catalog; it asks for the password, if there is one."""
    plain = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    return f"pg_dump --format=custom --file=catalog.dump '{plain.render_as_string()}'"


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table(version.name):
        return None
    return connection.execute(select(version.c.version_num)).scalar()


def _this_release() -> str:
    return importlib.metadata.version("imageport")
