"""Every test of this folder runs on SQLite and on a PostgreSQL server that the tests start."""

from __future__ import annotations

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
import pytest

from imageport.catalog import Catalog, Lease, this_process
from imageport.values import ImageRecord

#: A process of another machine.
ELSEWHERE = "elsewhere:4711:1-another"
OTHER_PROCESS = Path(__file__).with_name("other_process.py")
_numbers = itertools.count(1)


def _program(name: str) -> str:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], *map(str, folders)]))
    assert found, f"these tests need {name}: apt-get install postgresql"
    return found


@pytest.fixture(scope="session")
def postgresql_socket() -> Iterator[Path]:
    """Start PostgreSQL on a unix socket and return the folder of the socket."""
    # pytest's folders are closed to the other user that PostgreSQL wants, and too deep for a socket's path.
    folder = Path(tempfile.mkdtemp(prefix="imageport-pg-"))
    as_user: dict[str, Any] = {}
    if os.geteuid() == 0:
        known = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in known else "nobody"
        group = pwd.getpwnam(user).pw_gid
        os.chown(folder, pwd.getpwnam(user).pw_uid, group)
        as_user = {"user": user, "group": group, "extra_groups": []}
    data = folder / "data"
    initdb = [_program("initdb"), "-D", str(data), "-U", "imageport", "-A", "trust", "-E", "UTF8"]
    subprocess.run(
        [*initdb, "--locale=C", "--no-sync"], check=True, stdout=subprocess.DEVNULL, cwd=folder, **as_user
    )
    server = subprocess.Popen(
        [_program("postgres"), "-D", str(data), "-k", str(folder), "-c", "listen_addresses=", "-F"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        **as_user,
    )
    try:
        _wait_for(server, folder)
        yield folder
    finally:
        server.send_signal(signal.SIGINT)
        server.wait()
        shutil.rmtree(folder)


def _wait_for(server: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            psycopg.connect(host=str(folder), user="imageport", dbname="postgres").close()
            return
        except psycopg.OperationalError:
            assert server.poll() is None, "PostgreSQL did not start"
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.1)


@pytest.fixture
def postgresql(postgresql_socket: Path) -> str:
    """Return the url of a new database of PostgreSQL."""
    name = f"catalog_{next(_numbers)}"
    with psycopg.connect(
        host=str(postgresql_socket), user="imageport", dbname="postgres", autocommit=True
    ) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    return f"postgresql+psycopg://imageport@/{name}?host={postgresql_socket}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the url of a new database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/catalog.db"
    found: str = request.getfixturevalue("postgresql")
    return found


@pytest.fixture
def catalog(url: str) -> Iterator[Catalog]:
    """Return an empty catalog."""
    opened = Catalog(url)
    yield opened
    opened.close()


@pytest.fixture
def image(catalog: Catalog) -> ImageRecord:
    """Return a new image."""
    return catalog.create_image(
        ImageRecord(id=str(uuid.uuid4()), name="debian", disk_format="raw", container_format="bare")
    )


@pytest.fixture
def begin(catalog: Catalog) -> Callable[..., Lease]:
    """Return a function that begins an import as the runner does.

    One whose lease has expired, because it is negative, is that of a process which cannot be seen from here.
    """

    def begin_import(image: ImageRecord, **changes: Any) -> Lease:
        request: dict[str, Any] = {
            "starts_from": {"queued", "uploading"},
            "request": {"source": "https://example.org/image.qcow2"},
            "owner": "alice",
            "targets": ["fast", "archive"],
            "lease_seconds": 60,
            "brings_formats": True,
        }
        holder = ELSEWHERE if changes.get("lease_seconds", 60) < 0 else this_process()
        with patch("imageport.catalog.lease.this_process", lambda: holder):
            lease = catalog.begin_import(image.id, **(request | changes))
        lease.start()
        return lease

    return begin_import


class OtherProcess:
    """A process that works on the same catalog, one order at a time; see ``other_process.py``."""

    def __init__(self, url: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, str(OTHER_PROCESS), url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def open(self) -> OtherProcess:
        """Open the catalog."""
        assert self.do("open") == "open"
        return self

    def send(self, *words: str) -> None:
        """Give an order."""
        assert self.popen.stdin
        self.popen.stdin.write(" ".join(words) + "\n")

    def answer(self) -> str:
        """Wait for the answer to an order."""
        assert self.popen.stdout
        return self.popen.stdout.readline().strip()

    def do(self, *words: str) -> str:
        """Give an order and wait for its answer."""
        self.send(*words)
        return self.answer()

    def kill(self) -> None:
        """Kill the process without letting it clean up, and leave its exit status uncollected."""
        self.popen.kill()
        os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOWAIT)

    def close(self) -> None:
        """End the process and collect its status."""
        self.popen.kill()
        self.popen.communicate()


@pytest.fixture
def other_process(url: str) -> Iterator[Callable[[], OtherProcess]]:
    """Return a function that starts processes that share the catalog."""
    yield from _starting(url)


@pytest.fixture
def other_sqlite_process(tmp_path: Path) -> Iterator[Callable[[], OtherProcess]]:
    """Return a function that starts processes that share ``catalog.db``."""
    yield from _starting(f"sqlite:///{tmp_path}/catalog.db")


def _starting(url: str) -> Iterator[Callable[[], OtherProcess]]:
    started: list[OtherProcess] = []

    def start() -> OtherProcess:
        started.append(OtherProcess(url))
        return started[-1]

    yield start
    for process in started:
        process.close()
