"""Catalogs of an older Imageport are upgraded with all that is in them; those of a newer one are refused."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, text
from tests.catalog.old_catalogs import (
    CIRROS,
    DEBIAN,
    KILLED_TASK,
    old_postgresql,
    old_sqlite,
    schema_of_postgresql,
    schema_of_sqlite,
)

from imageport.catalog import Catalog, Upgrade, schema, sqlite, upgrade
from imageport.catalog.backup import back_up, backups
from imageport.catalog.migrations import running
from imageport.catalog.postgresql import TABLES_LOCK
from imageport.catalog.tables import REVISIONS
from imageport.errors import Conflict, ImageportError, UsageError
from imageport.testing.command import RunImageport
from imageport.values import ImageRecord

if TYPE_CHECKING:
    from tests.catalog.conftest import OtherProcess

HEAD = REVISIONS[-1]


@pytest.fixture
def old(url: str, tmp_path: Path) -> str:
    """Return the url of a catalog of Imageport 0.1.0, in SQLite and in PostgreSQL."""
    if url.startswith("sqlite"):
        old_sqlite(tmp_path)
    else:
        old_postgresql(url, tmp_path)
    return url


@pytest.fixture
def run_imageport(tmp_path: Path) -> RunImageport:
    """Return what runs ``imageport`` beside the SQLite catalog of Imageport 0.1.0."""
    old_sqlite(tmp_path)
    return RunImageport(
        tmp_path, {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "IMAGEPORT_USER": "alice"}
    )


def execute(url: str, *statements: str) -> None:
    """Change a database by hand."""
    opened = create_engine(url)
    with opened.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    opened.dispose()


def rows(path: Path, statement: str) -> list[Any]:
    """Read an SQLite file."""
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(statement).fetchall()


def no_advice(_: str) -> None:
    """Listen to no advice."""


# ------------------------------------------------------------------------------------------------ what is kept


def test_an_old_catalog_is_upgraded_with_all_that_is_in_it(old: str) -> None:
    assert upgrade(old, no_advice) is not None
    catalog = Catalog(old)
    found = {image.name: image for image in catalog.list_images()}
    assert {name: image.status for name, image in found.items()} == {
        "debian-12": "active", "cirros": "active", "planned": "queued", "staged": "uploading", "lost": "queued",
        "killed": "importing",
    }  # fmt: skip
    debian = found["debian-12"]
    assert (debian.size, debian.owner, debian.visibility, debian.protected) == (
        65536,
        "alice",
        "community",
        True,
    )
    assert set(debian.tags) == {"lts", "cloud"}
    assert {"os_distro": "debian", "os_version": "12"}.items() <= dict(debian.properties).items()
    assert [copy.store for copy in debian.locations] == ["archive", "fast"]
    assert found["cirros"].owner == "acme"
    assert found["planned"].properties == {"hw_disk_bus": "scsi"}
    assert {task.status: task.image_id for task in catalog.list_tasks(status="failure")} == {
        "failure": found["lost"].id
    }
    assert len(catalog.list_tasks()) == 4
    assert len(catalog.pending_locations(KILLED_TASK)) == 2
    catalog.delete_image(found["planned"].id)
    catalog.update_image(debian.id, properties={"os_distro": None, "hw_disk_bus": "scsi"})
    catalog.close()


def test_the_schema_after_all_steps_is_that_of_a_new_catalog(old: str, url: str, tmp_path: Path) -> None:
    upgrade(old, no_advice)
    if url.startswith("sqlite"):
        Catalog(f"sqlite:///{tmp_path}/new.db").close()
        assert schema_of_sqlite(tmp_path / "catalog.db") == schema_of_sqlite(tmp_path / "new.db")
        return
    upgraded = list(schema_of_postgresql(url))
    execute(url, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    Catalog(url).close()
    assert upgraded == list(schema_of_postgresql(url))


def test_every_constraint_has_a_name(tmp_path: Path) -> None:
    Catalog(f"sqlite:///{tmp_path}/catalog.db").close()
    for _, _, statement in schema_of_sqlite(tmp_path / "catalog.db"):
        words = statement.replace("(", " ( ").split()
        for number, word in enumerate(words):
            if word in {"PRIMARY", "FOREIGN", "UNIQUE", "CHECK"} and words[1] == "TABLE":
                assert words[number - 2] == "CONSTRAINT", statement


def test_the_known_revisions_are_the_steps_in_one_line() -> None:
    steps = running.known_steps()
    assert len(steps.get_heads()) == 1
    assert tuple(reversed([step.revision for step in steps.walk_revisions()])) == REVISIONS


def test_the_commands_work_with_an_old_catalog_and_its_stores(
    run_imageport: RunImageport, tmp_path: Path
) -> None:
    listed = run_imageport("images", "list", "--json")
    run = run_imageport.inside
    assert listed.exit_code == 0
    assert {image["name"] for image in listed.json} == {"debian-12", "planned", "staged", "lost", "killed"}
    [backup] = backups(tmp_path / "catalog.db")
    assert "is upgraded from revision 0001" in listed.stderr
    assert str(backup) in listed.stderr
    assert run_imageport("images", "list").stderr == ""
    assert run("images", "export", "debian-12", "disk.raw").exit_code == 0
    assert (tmp_path / "disk.raw").read_bytes() == DEBIAN
    assert run("images", "export", "cirros", "cirros.raw", "--project", "acme").exit_code == 0
    assert (tmp_path / "cirros.raw").read_bytes() == CIRROS
    (tmp_path / "import.yaml").write_text("name: import\nsource: {use: glance-direct}\nstores: [fast]\n")
    assert run("run", "import.yaml", "--image", "staged", "--quiet").exit_code == 0
    again = run("run", "import.yaml", "--name", "new", "--disk-format", "raw", "disk.raw", "--quiet")
    assert again.exit_code == 0, again.stderr
    cleaned = run("gc")
    assert cleaned.exit_code == 0
    assert f"rolled back the dead import {KILLED_TASK}" in cleaned.stdout
    assert run("images", "delete", "cirros", "--yes", "--project", "acme").exit_code == 0
    assert run("images", "set", "debian-12", "--unprotected").exit_code == 0
    assert run("images", "delete", "debian-12", "--yes").exit_code == 0
    kept = {image["name"]: image["id"] for image in run("images", "list", "--json").json}
    assert set(kept) == {"planned", "staged", "lost", "killed", "new"}
    assert {copy.name for copy in (tmp_path / "stores").rglob("*") if copy.is_file()} == {
        kept["staged"],
        kept["new"],
    }


# ----------------------------------------------------------------------------------------------------- backups


def test_an_sqlite_file_is_backed_up_before_it_is_upgraded(tmp_path: Path) -> None:
    path = old_sqlite(tmp_path)
    before, umask = rows(path, "SELECT * FROM tasks"), os.umask(0)
    try:
        done = upgrade(f"sqlite:///{path}", no_advice)
    finally:
        os.umask(umask)
    assert done is not None
    assert done.backup is not None
    assert done == Upgrade("0001", HEAD, done.backup)
    assert done.backup.name.startswith("catalog.db.0001-")
    assert stat.S_IMODE(done.backup.stat().st_mode) == 0o600
    assert rows(done.backup, "SELECT * FROM tasks") == before
    assert ("imageport_version",) not in rows(done.backup, "SELECT name FROM sqlite_master")
    assert [found for found in backups(path) if found.suffix != ".backup"] == []


def test_the_last_three_backups_are_kept(tmp_path: Path) -> None:
    path = old_sqlite(tmp_path)
    other = tmp_path / "catalog.db.other.backup"
    other.touch()
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    made = [back_up(path, f"{9 - day:04}", begin + timedelta(days=day)) for day in range(5)]
    assert sorted(backups(path)) == sorted(made[-3:])
    assert other.exists()


def test_a_catalog_that_cannot_be_backed_up_stays_as_it_is(tmp_path: Path) -> None:
    path = old_sqlite(tmp_path).rename(tmp_path / ("c" * 230))
    before = schema_of_sqlite(path)
    with pytest.raises(
        ImageportError, match=r"cannot be upgraded: its backup cannot be written: .*too long"
    ) as caught:
        Catalog(f"sqlite:///{path}")
    assert "the catalog is unchanged" in caught.value.hint
    assert schema_of_sqlite(path) == before


# ---------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("statements", "differs"),
    [
        (["ALTER TABLE tasks DROP COLUMN cause"], "table tasks lacks cause"),
        (["ALTER TABLE images ADD COLUMN colour TEXT"], "table images has besides colour"),
        (["ALTER TABLE images RENAME COLUMN name TO title"], "table images lacks name and has besides title"),
        (["DROP TABLE image_properties"], "no table image_properties"),
    ],
)
def test_tables_of_an_unknown_shape_are_refused_as_they_are(
    old: str, statements: list[str], differs: str
) -> None:
    execute(old, *statements)
    with pytest.raises(UsageError, match=differs) as caught:
        upgrade(old, no_advice)
    assert "is not a catalog of Imageport" in caught.value.message
    assert "space" not in caught.value.hint
    assert "restore a backup" in caught.value.hint


def test_a_file_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "bookmarks.db")) as connection:
        connection.execute("CREATE TABLE bookmarks (url TEXT)")
    before = (tmp_path / "bookmarks.db").read_bytes()
    with pytest.raises(UsageError, match="is not a catalog of Imageport: it has other tables"):
        Catalog(f"sqlite:///{tmp_path}/bookmarks.db")
    assert schema_of_sqlite(tmp_path / "bookmarks.db") == {
        ("bookmarks", "bookmarks", "CREATE TABLE bookmarks (url TEXT)")
    }
    assert len(before) == (tmp_path / "bookmarks.db").stat().st_size


def test_a_catalog_of_a_newer_imageport_is_refused_with_both_releases(url: str) -> None:
    Catalog(url).close()
    execute(url, "UPDATE imageport_version SET version_num = '0999', release = '7.8.9'")
    for opened in (Catalog, lambda wanted: upgrade(wanted, no_advice)):
        with pytest.raises(UsageError) as caught:
            opened(url)
        assert "was made by a newer Imageport, 7.8.9: its revision 0999 is unknown" in caught.value.message
        assert f"which knows {HEAD}" in caught.value.message
        assert "install Imageport 7.8.9 or newer" in caught.value.hint
        assert "restore the backup" in caught.value.hint


def test_nothing_is_upgraded_while_an_import_is_running(old: str, tmp_path: Path) -> None:
    execute(
        old, "UPDATE tasks SET lease_expires_at = '2999-01-01 00:00:00.000000' WHERE status = 'processing'"
    )
    with pytest.raises(
        Conflict, match=f"cannot be upgraded: task {KILLED_TASK} of process .* uses it"
    ) as caught:
        upgrade(old, no_advice)
    assert "wait for the end of all imports" in caught.value.hint
    assert backups(tmp_path / "catalog.db") == []
    execute(
        old, "UPDATE tasks SET lease_expires_at = '2001-01-01 00:00:00.000000' WHERE status = 'processing'"
    )
    assert upgrade(old, no_advice) is not None


def test_rows_without_their_image_stop_an_upgrade(tmp_path: Path) -> None:
    path = old_sqlite(tmp_path)
    execute(f"sqlite:///{path}", "INSERT INTO image_properties VALUES ('nowhere', 'os_distro', 'debian')")
    before = schema_of_sqlite(path)
    with pytest.raises(
        ImageportError, match="1 rows of table image_properties belong to images that do not exist"
    ):
        Catalog(f"sqlite:///{path}")
    assert schema_of_sqlite(path) == before


def test_postgresql_is_upgraded_by_command_alone(postgresql: str, tmp_path: Path) -> None:
    old_postgresql(postgresql, tmp_path)
    with pytest.raises(UsageError) as caught:
        Catalog(postgresql.replace("imageport@", "imageport:hush@"))
    assert "is of Imageport 0.1.0, revision 0001" in caught.value.message
    assert f"needs revision {HEAD}" in caught.value.message
    assert "'imageport upgrade-db'" in caught.value.hint
    assert "pg_dump --format=custom --file=catalog.dump 'postgresql://imageport@/" in caught.value.hint
    assert "hush" not in caught.value.message + caught.value.hint
    (tmp_path / "imageport.yaml").write_text(f"catalog: {postgresql}\n")
    run = RunImageport(tmp_path, {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}).inside
    assert run("images", "list").exit_code == 2
    upgraded = run("upgrade-db")
    assert upgraded.exit_code == 0
    assert upgraded.stdout.startswith("to make a backup: pg_dump ")
    assert f"upgraded the catalog from revision 0001 to {HEAD}" in upgraded.stdout
    assert run("images", "list").exit_code == 0
    assert "the catalog is up to date" in run("upgrade-db").stdout


def test_the_command_upgrades_an_sqlite_file_as_well_and_names_the_copy(
    run_imageport: RunImageport, tmp_path: Path
) -> None:
    run = run_imageport.inside
    upgraded = run("upgrade-db")
    [backup] = backups(tmp_path / "catalog.db")
    assert upgraded.stdout.splitlines() == [
        f"upgraded the catalog from revision 0001 to {HEAD}",
        f"backup: {backup}",
    ]
    assert run("upgrade-db").stdout == "the catalog is up to date\n"


# -------------------------------------------------------------------------------------------------- side by side


def test_processes_that_open_an_old_file_at_once_upgrade_it_once(
    tmp_path: Path, other_sqlite_process: Callable[[], OtherProcess]
) -> None:
    path = old_sqlite(tmp_path)
    processes = [other_sqlite_process() for _ in range(4)]
    for process in processes:
        process.send("open")
    assert [process.answer() for process in processes] == ["open"] * 4
    assert len(backups(path)) == 1
    assert rows(path, "SELECT version_num FROM imageport_version") == [(HEAD,)]


def test_two_upgrades_of_a_server_at_once_are_one(postgresql: str, tmp_path: Path) -> None:
    old_postgresql(postgresql, tmp_path)
    barrier = threading.Barrier(4)

    def go(_: int) -> Upgrade | None:
        barrier.wait()
        return upgrade(postgresql, no_advice)

    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(go, range(4)))
    assert done.count(None) == 3


def test_an_upgrade_that_waits_too_long_for_another_gives_up(
    postgresql: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_postgresql(postgresql, tmp_path)
    monkeypatch.setattr("imageport.catalog.postgresql.TABLES_LOCK_SECONDS", 1)
    other = create_engine(postgresql)
    with other.begin() as connection:
        connection.execute(text(f"SELECT pg_advisory_xact_lock({TABLES_LOCK})"))
        with pytest.raises(UsageError, match="lock timeout") as caught:
            upgrade(postgresql, no_advice)
    other.dispose()
    assert "stopped while it wrote" in caught.value.hint


def test_a_catalog_that_is_up_to_date_is_opened_without_writing(
    url: str, catalog: Catalog, image: ImageRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0)
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            again = Catalog(url)
            assert again.list_images() == [image]
    else:
        again = Catalog(f"{url}&options=-c%20default_transaction_read_only%3Don")
        assert again.list_images() == [image]
    again.close()


# --------------------------------------------------------------------------------------------- steps yet to come


@pytest.fixture
def further_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that adds a step, whose statements it gets, after the last one."""

    def add(body: str) -> None:
        steps = tmp_path / "further" / "steps"
        steps.mkdir(parents=True)
        for step in running.STEPS.glob("v*.py"):
            (steps / step.name).write_text(step.read_text())
        (steps / "v9999_further.py").write_text(
            f"import sqlalchemy\nfrom alembic import op\nrevision, down_revision = '9999', '{HEAD}'\n"
            f"def upgrade():\n    {body}\n"
        )
        monkeypatch.setattr(running, "STEPS", steps)
        monkeypatch.setattr(schema, "REVISIONS", (*REVISIONS, "9999"))

    return add


RENAME = """with op.batch_alter_table("images") as images:
        images.alter_column("owner", new_column_name="tenant")"""


def test_a_step_that_copies_a_table_keeps_the_rows_that_refer_to_it(
    old: str, tmp_path: Path, further_step: Callable[[str], None]
) -> None:
    further_step(RENAME)
    assert upgrade(old, no_advice) is not None
    opened = create_engine(old)
    with opened.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM image_properties")).scalar_one() == 13
        assert (
            connection.execute(text("SELECT tenant FROM images WHERE name = 'cirros'")).scalar_one() == "acme"
        )
        assert connection.execute(text("SELECT version_num FROM imageport_version")).scalar_one() == "9999"
    opened.dispose()


def test_a_step_that_fails_leaves_the_catalog_as_it_was(
    old: str, url: str, tmp_path: Path, further_step: Callable[[str], None]
) -> None:
    def shape() -> Any:
        return (
            schema_of_sqlite(tmp_path / "catalog.db")
            if url.startswith("sqlite")
            else list(schema_of_postgresql(url))
        )

    before = shape()
    further_step(RENAME + "\n    op.execute('SELECT owner FROM nowhere')")
    with pytest.raises(UsageError, match="nowhere"):
        upgrade(old, no_advice)
    assert shape() == before


def test_foreign_keys_are_enforced_again_after_an_upgrade(tmp_path: Path) -> None:
    catalog = Catalog(f"sqlite:///{old_sqlite(tmp_path)}")
    catalog.delete_image(next(image.id for image in catalog.list_images(name="planned")))
    catalog.close()
    assert rows(tmp_path / "catalog.db", "SELECT * FROM image_properties WHERE name = 'hw_disk_bus'") == []
