"""The urls of catalogs, which were read by SQLAlchemy once and have to mean the same."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from imageport.catalog import Catalog, postgresql_url
from imageport.errors import UsageError
from imageport.values import ImageRecord

_POSTGRESQL = [
    "postgresql+psycopg://user@host/catalog",
    "postgresql+psycopg://user:hush@host:5433/catalog",
    "postgresql://user:hush@[::1]:5433/catalog",
    "postgresql+psycopg:///catalog",
    "postgresql+psycopg://host",
    "postgresql+psycopg://host:5433/catalog?sslmode=require",
    "postgresql+psycopg://user:hu%2Fs%25h@/catalog?host=/run/postgresql&port=5433",
    "postgresql+psycopg://us%40er:%20%3A@host/catalog",
    *(f"postgresql+psycopg://user:{password}@host/catalog" for password in ("hu/sh", "hu:sh", "5432/hush")),
    *(
        f"postgresql+psycopg://user:{password}@host/catalog"
        for password in ("hu?s=h", "100%", "h+sh", "h#sh&", "")
    ),
    "postgresql+psycopg://user@host/catalog?options=-csearch_path=other",
    "postgresql+psycopg://user@host/catalog?options=-c+search_path%3Dother&application_name=a@b",
    "postgresql+psycopg://user@host/catalog?password=hu%26sh&passfile=/etc/pass%20file",
    "postgresql+psycopg://user@/catalog?host=one:5432&host=two:5433",
    "postgresql+psycopg://user@/catalog?host=one:5432&host=two",
    "postgresql+psycopg://user@/catalog?host=one:5433",
    "postgresql+psycopg://user@/catalog?host=one,two&port=5432,5433&target_session_attrs=read-write",
]


@pytest.mark.parametrize("url", _POSTGRESQL)
def test_a_url_of_postgresql_means_what_it_means_to_sqlalchemy(url: str) -> None:
    parsed = make_url(url).set(drivername="postgresql+psycopg")
    expected: Mapping[str, Any] = parsed.get_dialect()().create_connect_args(parsed)[1]
    # An empty password is none, for libpq as well.
    expected = {name: str(value) for name, value in expected.items() if value != ""}
    found = {name: value for name, value in conninfo_to_dict(postgresql_url.read(url).libpq).items() if value}
    assert found == expected


def test_a_url_of_postgresql_may_name_hosts_and_database_as_libpq_does() -> None:
    read = postgresql_url.read("postgresql://user:hush@one:5432,two:5433/cata%20log")
    assert conninfo_to_dict(read.libpq) == {
        "user": "user", "password": "hush", "host": "one,two", "port": "5432,5433", "dbname": "cata log",
    }  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:{}@host/catalog",
        "postgresql://user:{}@host/catalog?application_name=me@here",
        "postgresql://user@host/catalog?sslmode=require&password={}",
        "postgresql://user@host/catalog?sslpassword={}&sslmode=require",
    ],
)
@pytest.mark.parametrize("password", ["hush", "hu/sh", "hu@sh", "hu:sh", "hu?sh", "%68ush", "100%"])
def test_only_libpq_gets_the_password_of_a_url(url: str, password: str) -> None:
    read = postgresql_url.read(url.format(password))
    options = conninfo_to_dict(read.libpq)
    assert {options.get("password"), options.get("sslpassword")} == {password.replace("%68", "h"), None}
    assert (options["host"], options["dbname"]) == ("host", "catalog")
    public = {name: value for name, value in options.items() if name not in {"password", "sslpassword"}}
    assert conninfo_to_dict(read.plain) == public
    assert "***" in read.shown
    for part in ("hu/", "hu@", "hu:", "hu?", "sh@", "hush", "%68ush", "100%"):
        assert part not in read.shown


def test_a_url_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        postgresql_url.read("postgresql://user:\udcff@host/catalog")


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("catalog.db", "catalog.db"),
        ("catalog.db?timeout=5&check_same_thread=false", "catalog.db"),
        ("my%20catalog.db", "my catalog.db"),
        ("100%.db", "100%.db"),
        ("file:catalog.db?mode=rwc&uri=true", "catalog.db"),
    ],
)
def test_a_url_of_sqlite_names_one_file_whatever_else_is_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: str, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Catalog(f"sqlite:///{written}").close()
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_a_program_may_change_its_directory_while_it_uses_a_relative_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    catalog = Catalog("sqlite:///catalog.db")
    catalog.create_image(ImageRecord(id="one"))
    monkeypatch.chdir(tmp_path / "other")
    with catalog.holding("one"):
        # Beside the connection that writes, this needs another one.
        assert catalog.get_image("one").id == "one"
    catalog.close()
    assert list((tmp_path / "other").iterdir()) == []


def test_a_path_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="names no file"):
        Catalog(f"sqlite:///{tmp_path}/a%00b")
