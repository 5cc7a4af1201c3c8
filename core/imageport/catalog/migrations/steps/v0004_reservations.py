"""Imports reserve the bytes that they are going to store."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column. An import that is not over has reserved nothing."""
    op.add_column("tasks", sa.Column("reserved", sa.BigInteger))
