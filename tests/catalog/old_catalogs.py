"""Catalogs as Imageport 0.1.0 made them, with their stores and staging: kept as text, made anew for each test."""

from __future__ import annotations

import os
import re
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, create_engine, insert, select

FILES = Path(__file__).with_name("files")
TABLES = ("images", "image_properties", "image_locations", "tasks")

DEBIAN = b"Debian\n" * 9362 + b".."
CIRROS = b"CirrOS\n" * 4681 + b"."
DATA = {"debian-12": DEBIAN, "cirros": CIRROS}
KILLED_TASK = "0ddbf1d5-c65e-4b9c-aa8d-517211d5f329"

SITE = """\
catalog: sqlite:///{folder}/catalog.db
staging: {{directory: {folder}/staging}}
stores:
  - {{use: file, id: fast, with: {{directory: {folder}/stores/fast}}}}
  - {{use: file, id: archive, with: {{directory: {folder}/stores/archive}}}}
"""


def old_sqlite(folder: Path) -> Path:
    """Make ``catalog.db`` in *folder*, with the files that it speaks of and a site file; return the catalog."""
    text = (FILES / "catalog-0.1.0.sql").read_text()
    path = folder / "catalog.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(
            text.replace("@FOLDER@", str(folder)).replace("@HOST@", socket.gethostname())
        )
        copies = connection.execute(
            "SELECT images.name, url, metadata ->> 'mark' FROM image_locations JOIN images ON images.id = image_id"
            " WHERE image_locations.status = 'active'"
        ).fetchall()
        [(staged,)] = connection.execute("SELECT id FROM images WHERE name = 'staged'").fetchall()
    for name, url, mark in copies:
        copy = Path(url.removeprefix("file://"))
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(DATA[name])
        os.utime(copy, ns=(int(mark), int(mark)))
    (folder / "staging").mkdir()
    (folder / "staging" / staged).write_bytes(DEBIAN)
    (folder / "imageport.yaml").write_text(SITE.format(folder=folder))
    return path


def old_postgresql(url: str, folder: Path) -> None:
    """Make the tables in the empty database at *url*, with the rows of ``old_sqlite``, which is made in *folder*."""
    engine = create_engine(url)
    source = create_engine(f"sqlite:///{old_sqlite(folder)}")
    with engine.begin() as target, source.connect() as kept:
        target.exec_driver_sql((FILES / "catalog-0.1.0-postgresql.sql").read_text().replace("public.", ""))
        target.exec_driver_sql("SET LOCAL TIME ZONE 'UTC'")
        read, written = MetaData(), MetaData()
        read.reflect(kept, only=TABLES)
        written.reflect(target)
        for table in written.sorted_tables:
            rows = [dict(row) for row in kept.execute(select(read.tables[table.name])).mappings()]
            target.execute(insert(table), rows)
        target.exec_driver_sql(
            "SELECT setval('image_locations_number_seq', max(number)) FROM image_locations"
        )
    engine.dispose()
    source.dispose()


def schema_of_sqlite(path: Path) -> set[tuple[str, str, str]]:
    """Return name, table and statement of every table and index."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {(name, table, " ".join(re.sub('["]', "", sql).split())) for name, table, sql in rows}


def schema_of_postgresql(url: str) -> Iterator[Any]:
    """Yield all that PostgreSQL knows about the columns, constraints and indexes."""
    engine = create_engine(url)
    with engine.connect() as connection:
        for statement in (
            "SELECT table_name, column_name, data_type, character_maximum_length, collation_name,"
            " is_nullable, column_default FROM information_schema.columns WHERE table_schema = 'public'",
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace",
            "SELECT tablename, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
        ):
            yield from sorted(tuple(row) for row in connection.exec_driver_sql(statement))
    engine.dispose()
