"""Indexes for lists and searches, a table of tags, and ids that compare byte by byte."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_LONGEST_TAG = 255
_ROWS = 1000

_IDS = {
    "images": ("id",),
    "image_properties": ("image_id",),
    "image_locations": ("image_id", "task_id"),
    "tasks": ("id", "image_id"),
}

_INDEXES: tuple[tuple[str, str, list[str | sa.TextClause]], ...] = (
    ("ix_images_created_at", "images", ["created_at", "id"]),
    ("ix_images_owner", "images", ["owner", "created_at", "id"]),
    ("ix_images_status", "images", ["status", "created_at", "id"]),
    ("ix_images_visibility", "images", ["visibility", "created_at", "id"]),
    ("ix_image_tags_tag", "image_tags", ["tag", "image_id"]),
    ("ix_image_properties_value", "image_properties", ["name", sa.text("substr(value, 1, 64)")]),
    ("ix_tasks_created_at", "tasks", ["created_at", "id"]),
    ("ix_tasks_owner", "tasks", ["owner", "created_at", "id"]),
    ("ix_tasks_status", "tasks", ["status", "created_at", "id"]),
    ("ix_tasks_expires_at", "tasks", ["expires_at"]),
)


def upgrade() -> None:
    """Move the tags, then make the indexes."""
    of_id = sa.String(64)
    if op.get_bind().dialect.name == "postgresql":
        of_id = sa.String(64, collation="C")
        for table, columns in _IDS.items():
            for column in columns:
                op.alter_column(table, column, type_=of_id)
    tags = op.create_table(
        "image_tags",
        sa.Column("image_id", of_id, nullable=False),
        sa.Column("tag", sa.String(_LONGEST_TAG), nullable=False),
        sa.PrimaryKeyConstraint("image_id", "tag", name="image_tags_pkey"),
        sa.ForeignKeyConstraint(
            ["image_id"], ["images.id"], name="image_tags_image_id_fkey", ondelete="CASCADE"
        ),
    )
    images = sa.table("images", sa.column("id"), sa.column("tags", sa.JSON))
    found = op.get_bind().execute(sa.select(images.c.id, images.c.tags))
    while part := found.fetchmany(_ROWS):
        rows = [
            {"image_id": image_id, "tag": tag}
            for image_id, of_image in part
            for tag in dict.fromkeys(tag[:_LONGEST_TAG] for tag in of_image)
        ]
        if rows:
            op.bulk_insert(tags, rows)
    with op.batch_alter_table("images") as batch:
        batch.drop_column("tags")
    for name, table, indexed in _INDEXES:
        op.create_index(name, table, indexed)
    hidden = sa.text("status <> 'active'")
    op.create_index(
        "ix_image_locations_hidden",
        "image_locations",
        ["status"],
        sqlite_where=hidden,
        postgresql_where=hidden,
    )
