"""Runs the steps with Alembic. Imported only when a catalog is upgraded: it takes longer than most commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import StaticPool, create_engine
from sqlalchemy.exc import DBAPIError

from imageport.catalog.tables import VERSION_TABLE

STEPS = Path(__file__).with_name("steps")


def run_steps(connection: Any, target: str, *, is_sqlite: bool) -> None:
    """Upgrade the catalog to the revision *target* within the transaction that *connection* is in.

    Raises the errors of the driver.
    """
    script = known_steps()

    def steps(revision: object, _: MigrationContext) -> object:
        return script._upgrade_revs(target, revision)  # type: ignore[arg-type]  # documented, though private

    options = {} if is_sqlite else {"use_native_hstore": False}
    engine = create_engine(
        "sqlite://" if is_sqlite else "postgresql+psycopg://",
        creator=lambda: _Lent(connection),
        poolclass=StaticPool,
        **options,
    )
    with (
        engine.connect() as lent,
        EnvironmentContext(Config(), script, fn=steps, destination_rev=target) as environment,
    ):
        environment.configure(connection=lent, version_table=VERSION_TABLE, transactional_ddl=True)
        try:
            environment.run_migrations()
        except DBAPIError as error:
            raise (error.orig or error) from error


def known_steps() -> ScriptDirectory:
    """Return the steps that come with this Imageport."""
    return ScriptDirectory(str(STEPS.parent), version_locations=[str(STEPS)])


class _Lent:
    """A connection whose transaction goes on: SQLAlchemy neither ends it nor closes the connection."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def commit(self) -> None:
        """Do nothing."""

    rollback = close = commit
