"""Runs the steps with Alembic. Imported only when a catalog is upgraded."""

from __future__ import annotations

from pathlib import Path

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from imageport.catalog.tables import version

STEPS = Path(__file__).with_name("steps")


def run_steps(connection: Connection, target: str) -> None:
    """Upgrade the catalog to the revision *target* within the transaction that *connection* is in."""
    script = known_steps()

    def steps(revision: object, _: MigrationContext) -> object:
        return script._upgrade_revs(target, revision)  # type: ignore[arg-type]  # documented, though private

    with EnvironmentContext(Config(), script, fn=steps, destination_rev=target) as environment:
        environment.configure(
            connection=connection,
            version_table=version.name,
            # The driver is made to begin and commit as PostgreSQL does, so that SQLite's DDL is transactional, too.
            transactional_ddl=True,
        )
        environment.run_migrations()


def known_steps() -> ScriptDirectory:
    """Return the steps that come with this Imageport."""
    return ScriptDirectory(str(STEPS.parent), version_locations=[str(STEPS)])
