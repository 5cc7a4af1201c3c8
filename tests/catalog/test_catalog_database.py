"""Opening the database, and what goes wrong with it."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy import create_engine, text

from imageport.catalog import Catalog, Lease
from imageport.errors import ImageportError, UsageError
from imageport.values import ImageRecord, Location

if TYPE_CHECKING:
    from tests.catalog.conftest import OtherProcess


def test_processes_that_open_a_new_catalog_at_once_share_one(
    url: str, other_process: Callable[[], OtherProcess]
) -> None:
    processes = [other_process() for _ in range(4)]
    for process in processes:
        process.send("open")
    assert [process.answer() for process in processes] == ["open"] * 4
    catalog = Catalog(url)
    image = catalog.create_image(ImageRecord(id=str(uuid.uuid4())))
    assert processes[3].do("begin", image.id) == catalog.list_tasks()[0].id
    catalog.close()


def test_opening_an_existing_catalog_keeps_what_is_in_it(
    url: str, catalog: Catalog, image: ImageRecord
) -> None:
    again = Catalog(url)
    assert again.list_images() == [image]
    again.close()


def test_sqlite_folder_is_made_and_the_file_is_in_wal_mode(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "catalog.db"
    Catalog(f"sqlite:///{path}").close()
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_what_is_made_for_sqlite_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "catalog.db"
    before = os.umask(0)
    try:
        catalog = Catalog(f"sqlite:///{path}")
        catalog.create_image(ImageRecord(id=str(uuid.uuid4())))
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"catalog.db": 0o600, "catalog.db-shm": 0o600, "catalog.db-wal": 0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    catalog.close()


def test_opening_waits_for_a_process_that_writes_before_wal_mode_is_on(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    writer = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, writer.execute, ["COMMIT"])
    release.start()
    catalog = Catalog(f"sqlite:///{path}")
    release.join()
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    writer.close()
    catalog.close()


def test_threads_can_share_a_catalog(catalog: Catalog, image: ImageRecord) -> None:
    def add(number: int) -> None:
        catalog.update_image(image.id, properties={f"thread-{number}": "was here"})

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(add, range(20)))
    assert len(catalog.get_image(image.id).properties) == 20


def test_properties_go_with_their_image(url: str, catalog: Catalog, image: ImageRecord) -> None:
    catalog.update_image(image.id, properties={"os_distro": "debian"})
    catalog.delete_image(image.id)
    engine = create_engine(url)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM image_properties")).scalar_one() == 0
    engine.dispose()


def test_times_are_aware_and_in_utc(
    catalog: Catalog, begin: Callable[..., Lease], image: ImageRecord
) -> None:
    lease = begin(image)
    started = catalog.get_task(lease.task_id)
    lease.fail(message="")
    task = catalog.get_task(lease.task_id)
    record = catalog.get_image(image.id)
    times = [task.created_at, task.updated_at, task.expires_at, task.lease_expires_at]
    times += [record.created_at, record.updated_at]
    assert {time and time.tzinfo for time in times} == {UTC}
    assert (started.lease_expires_at - started.created_at).total_seconds() == 60
    assert task.expires_at is not None
    assert (task.expires_at - task.updated_at).total_seconds() == 48 * 3600
    assert abs((datetime.now(UTC) - task.created_at).total_seconds()) < 600


def test_times_given_with_another_zone_are_kept_as_the_same_moment(catalog: Catalog) -> None:
    moment = datetime.fromisoformat("2024-02-29T23:30:00.000001+05:45")
    record = catalog.create_image(ImageRecord(id=str(uuid.uuid4()), created_at=moment))
    assert record.created_at == moment
    assert record.created_at.utcoffset() is not None
    assert catalog.list_images()[0].created_at == moment


@pytest.mark.parametrize(
    "url",
    ["mysql://host/database", "catalog.db", "", "sqlite://", "sqlite:///:memory:", "no-such-database://"],
)
def test_a_url_that_cannot_be_a_catalog_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        Catalog(url)
    assert "sqlite:////" in caught.value.hint


def test_a_file_that_is_not_a_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_text("This is not a database. " * 100)
    with pytest.raises(UsageError, match="cannot be opened: file is not a database") as caught:
        Catalog(f"sqlite:///{tmp_path}/catalog.db")
    assert caught.value.hint.startswith("name the file of a catalog, or a new one")


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be opened: /.*/file: ") as caught:
        Catalog(f"sqlite:///{tmp_path}/file/catalog.db")
    assert caught.value.hint == "check the path under 'catalog:' in the site file"


def test_a_server_that_does_not_answer_is_refused_without_showing_the_password(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        Catalog(f"postgresql+psycopg://imageport:hush@/catalog?host={tmp_path}")
    assert "cannot be opened" in caught.value.message
    assert "hush" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize("password", ["hush", "hu/sh", "hu:sh", "hu@sh", "hu?sh", "%68ush"])
def test_no_error_about_a_url_shows_its_password(tmp_path: Path, password: str) -> None:
    with pytest.raises(UsageError) as caught:
        Catalog(f"postgresql://imageport:{password}@/catalog?host={tmp_path}")
    for part in {password, "sh@", ":hu"}:
        assert part not in caught.value.message + caught.value.hint
    assert "imageport:***@" in caught.value.message


def test_a_url_that_postgresql_does_not_understand_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match='cannot be read: invalid URI query parameter: "colour"') as caught:
        Catalog("postgresql://imageport@/catalog?colour=red")
    assert "postgresql+psycopg://user" in caught.value.hint


def test_a_connection_that_the_server_has_closed_is_replaced(
    postgresql: str, postgresql_socket: Path
) -> None:
    catalog = Catalog(postgresql)
    catalog.create_image(ImageRecord(id="one"))
    database = postgresql.partition("@/")[2].partition("?")[0]
    with psycopg.connect(
        host=str(postgresql_socket), user="imageport", dbname="postgres", autocommit=True
    ) as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = %s", [database]
        ).fetchall()
    assert ended == [(True,)]
    assert catalog.get_image("one").id == "one"
    catalog.close()


@pytest.mark.parametrize("isolation", ["read%20committed", "repeatable%20read", "serializable"])
def test_threads_wait_for_each_other_whatever_isolation_is_the_default_of_the_server(
    postgresql: str, isolation: str
) -> None:
    default = isolation.replace("%20", "%5C%20")
    catalog = Catalog(f"{postgresql}&options=-cdefault_transaction_isolation%3D{default}")
    catalog.create_image(ImageRecord(id="one"))

    def add(number: int) -> None:
        catalog.update_image("one", properties={f"thread-{number}": "was here"})

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(add, range(20)))
    assert len(catalog.get_image("one").properties) == 20
    catalog.close()


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "UTF8"])
def test_text_is_the_same_in_every_encoding_of_a_database(
    postgresql_socket: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    with psycopg.connect(
        host=str(postgresql_socket), user="imageport", dbname="postgres", autocommit=True
    ) as admin:
        name = f"in_{encoding.lower()}"
        admin.execute(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0".encode())
    monkeypatch.setenv("PGCLIENTENCODING", "SQL_ASCII")
    catalog = Catalog(f"postgresql://imageport@/{name}?host={postgresql_socket}")
    record = ImageRecord(id="one", name="caf\N{LATIN SMALL LETTER E WITH ACUTE}", disk_format="raw")
    assert catalog.create_image(record).name == record.name
    assert catalog.list_images(name=record.name)[0].id == "one"
    if encoding == "LATIN1":
        with pytest.raises(UsageError, match="cannot keep this value"):
            catalog.update_image("one", name="\N{SNOWMAN}")
    else:
        assert catalog.update_image("one", name="\N{SNOWMAN}").name == "\N{SNOWMAN}"
    catalog.close()


def test_a_library_that_is_not_installed_is_named_with_the_way_to_get_it() -> None:
    script = """
import sys
sys.modules["psycopg"] = None
from imageport.catalog import Catalog
from imageport.errors import UsageError
try:
    Catalog("postgresql://imageport@/catalog")
except UsageError as error:
    print(error.message, error.hint, sep="; ")
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "needs the library psycopg; install it with: pip install 'imageport[postgresql]'" in ended.stdout


def test_a_database_that_breaks_later_is_reported_as_such(url: str, catalog: Catalog) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE image_properties"))
    engine.dispose()
    with pytest.raises(ImageportError, match=r"the catalog .* failed: .*image_properties") as caught:
        catalog.get_image("any")
    assert "were changed by hand" in caught.value.hint
    assert "restore a backup" in caught.value.hint


def test_a_missing_column_is_not_reported_as_a_full_disk(url: str, catalog: Catalog) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE tasks DROP COLUMN cause"))
    engine.dispose()
    with pytest.raises(ImageportError, match=r"the catalog .* failed: .*cause") as caught:
        catalog.get_task("any")
    assert "were changed by hand" in caught.value.hint


def test_a_server_that_is_full_or_gone_and_a_database_that_is_missing_have_their_own_hints(
    postgresql: str,
) -> None:
    with pytest.raises(UsageError, match="does not exist") as caught:
        Catalog(postgresql.replace("/catalog_", "/missing_"))
    assert "createdb" in caught.value.hint or "server" in caught.value.hint
    with pytest.raises(UsageError) as caught:
        Catalog(postgresql.replace("imageport@", "stranger@"))
    assert "user and password" in caught.value.hint or "server" in caught.value.hint


_HOSTILE = [
    "'; DROP TABLE images; --", '"', "\\", ":name", ":value_0", "%(name)s", "%s", "%", "?", "$1", "{theirs}",
    "\N{SNOWMAN}\n\t",
]  # fmt: skip


@pytest.mark.parametrize("text", _HOSTILE)
def test_no_value_is_taken_for_a_part_of_a_statement(
    catalog: Catalog, begin: Callable[..., Lease], text: str
) -> None:
    image = catalog.create_image(
        ImageRecord(id="one", name=text, owner=text, tags=(text,), properties={text: text}, disk_format="raw")
    )
    catalog.create_image(ImageRecord(id="two", name="other", owner="other"))
    assert (image.name, image.owner, image.tags, image.properties) == (text, text, (text,), {text: text})
    for filters in ({"name": text}, {"owner": text}, {"tags": [text]}, {"properties": {text: text}}):
        assert catalog.list_images(**filters, scopes=[[{"owner": text}]]) == [image]
    assert catalog.find_image(text) == image
    assert catalog.usage(text).image_count_total == 1
    copy = Location(url=text, store=text, metadata={text: text})
    lease = begin(image, owner=text, request={text: text}, targets=[text])
    lease.announce(copy)
    assert catalog.pending_locations(lease.task_id) == [copy]
    lease.fail(message=text, cause={"hint": text})
    task = catalog.get_task(lease.task_id)
    assert (task.owner, task.input, task.message, task.cause) == (text, {text: text}, text, {"hint": text})
    assert [hidden.location.url for hidden in catalog.hidden_copies()] == [text]


def test_a_value_that_no_database_can_hold_is_refused(catalog: Catalog, image: ImageRecord) -> None:
    with pytest.raises(UsageError, match="cannot keep this value"):
        catalog.update_image(image.id, size=1 << 64)
    with pytest.raises(UsageError, match="cannot keep this value"):
        catalog.update_image(image.id, name="\udcff")
    assert catalog.get_image(image.id) == image
