"""Name every constraint, so that later steps can change it. PostgreSQL has given them these names itself."""

from alembic import op

revision = "0002"
down_revision = "0001"

_NAMES = {
    "pk": "%(table_name)s_pkey",
    "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    "uq": "%(table_name)s_%(column_0_N_name)s_key",
}


def upgrade() -> None:
    """Copy each table of an SQLite file to one whose constraints have names."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for table in ("images", "image_properties", "image_locations", "tasks"):
        with op.batch_alter_table(table, recreate="always", naming_convention=_NAMES):
            pass
