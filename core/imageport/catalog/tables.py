"""The tables of the catalog. A change of them needs a step in ``migrations/steps`` and its number in ``schema.py``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import (
    DDL,
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    event,
    text,
)

if TYPE_CHECKING:
    from sqlalchemy import Dialect


class Utc(TypeDecorator[datetime]):
    """An aware datetime in UTC, also where the database keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC before the zone may get lost."""
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Say that what comes back is UTC."""
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


#: The names that PostgreSQL gives by itself. With names, a later step can change a constraint.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

#: One row: the revision of the tables, and the Imageport that made or upgraded them. Alembic names ``version_num``.
#: No step may change this table: every Imageport has to be able to read it.
version = Table(
    "imageport_version",
    metadata,
    Column("version_num", String(32), primary_key=True),
    Column("release", Text, nullable=False),
)

#: Ids compare byte by byte, so that the beginning of one is a range of the index in every locale of PostgreSQL.
_ID = String(64).with_variant(String(64, collation="C"), "postgresql")

#: ``fence`` counts the locks taken on the image, see ``lease.py``; the rest are fields of ``ImageRecord``.
images = Table(
    "images",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("name", Text, index=True),
    Column("status", String(16), nullable=False),
    Column("disk_format", Text),
    Column("container_format", Text),
    Column("size", BigInteger),
    Column("virtual_size", BigInteger),
    Column("checksum", Text),
    Column("os_hash_algo", Text),
    Column("os_hash_value", Text),
    Column("owner", Text),
    Column("visibility", Text, nullable=False),
    Column("protected", Boolean, nullable=False),
    Column("min_disk", BigInteger, nullable=False),
    Column("min_ram", BigInteger, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    # Lists are read in this order, of all images or of those with one value.
    Index("ix_images_created_at", "created_at", "id"),
    Index("ix_images_owner", "owner", "created_at", "id"),
    Index("ix_images_status", "status", "created_at", "id"),
    Index("ix_images_visibility", "visibility", "created_at", "id"),
)

image_tags = Table(
    "image_tags",
    metadata,
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(255), primary_key=True),
    Index("ix_image_tags_tag", "tag", "image_id"),
)

#: PostgreSQL refuses long values in an index.
VALUE_START_LENGTH = 64
VALUE_START = f"substr(value, 1, {VALUE_START_LENGTH})"

image_properties = Table(
    "image_properties",
    metadata,
    Column("image_id", ForeignKey("images.id", ondelete="CASCADE"), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("value", Text, nullable=False),
    Index("ix_image_properties_value", "name", text(VALUE_START)),
)

HIDDEN = "status <> 'active'"

#: No foreign key: a pending row is the only trace of bytes in a store and must outlive its image.
#: ``remover`` is the process that removes the bytes, see ``locations.py``.
image_locations = Table(
    "image_locations",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("image_id", _ID, nullable=False),
    Column("store", String(255), nullable=False),
    Column("url", Text, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("status", String(16), nullable=False),
    Column("task_id", _ID, index=True),
    Column("remover", Text),
    Column("removal_expires_at", Utc),
    UniqueConstraint("image_id", "store", "url"),
)

#: An index of all rows would mislead SQLite, which takes the few hidden rows for as many as the visible ones. As an
#: ``Index`` with a condition for each dialect, it would import both dialects, also the one that is not in use.
event.listen(
    image_locations,
    "after_create",
    DDL(f"CREATE INDEX ix_image_locations_hidden ON image_locations (status) WHERE {HIDDEN}"),  # type: ignore[no-untyped-call]
)

#: ``cause`` is why the task failed: code, step, store and hint.
#: ``reserved`` are the bytes that all copies of the image take in stores once the import has ended well.
#: ``snapshot`` is the image as it was; a roll back takes from it what ``touched`` names: all the import set. In
#: ``touched`` is also the process from which the task was taken over, if it is not known to be gone, as ``WRITER``.
WRITER = "writer"

tasks = Table(
    "tasks",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("image_id", _ID, nullable=False, index=True),
    Column("type", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("message", Text, nullable=False),
    Column("cause", JSON(none_as_null=True)),
    Column("owner", Text, nullable=False),
    Column("input", JSON, nullable=False),
    Column("result", JSON(none_as_null=True)),
    Column("progress", JSON, nullable=False),
    Column("holder", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("fence", BigInteger, nullable=False),
    Column("cancel_requested", Boolean, nullable=False),
    Column("snapshot", JSON, nullable=False),
    Column("touched", JSON, nullable=False),
    Column("created_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    Column("expires_at", Utc, index=True),
    Column("lease_expires_at", Utc, nullable=False),
    Column("reserved", BigInteger),
    Index("ix_tasks_created_at", "created_at", "id"),
    Index("ix_tasks_owner", "owner", "created_at", "id"),
    Index("ix_tasks_status", "status", "created_at", "id"),
)
