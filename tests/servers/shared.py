"""Servers that start once a run: shared by all test processes of it, and stopped when the last one ends or is killed.

A module of a server has a function ``serve(folder)``: a context manager that starts the server in an empty folder,
gives the facts that clients need, and stops it. It runs in a separate process, the keeper. Each user of the server
holds a shared lock on a file; the keeper waits for the exclusive lock, which it gets when the last user is gone.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

#: Names the folder of the servers of this run; all processes of the run inherit it.
VARIABLE = "IMAGEPORT_TEST_SERVERS"

_REPOSITORY = Path(__file__).parents[2]

#: Not collected while they run.
_keepers: list[subprocess.Popen[bytes]] = []


def begin_run() -> None:
    """Choose the folder of the servers, unless this run is part of another one."""
    if VARIABLE not in os.environ:
        os.environ[VARIABLE] = tempfile.mkdtemp(prefix="imageport-servers-")


def end_run() -> None:
    """Remove the folder of the servers when none of them runs; else the last keeper does."""
    with suppress(OSError):
        Path(os.environ[VARIABLE]).rmdir()


@contextmanager
def shared_server(name: str) -> Iterator[dict[str, str]]:
    """Give the facts of the server of the module ``tests.servers.<name>``; the first user of it starts it."""
    begin_run()
    folder = Path(os.environ[VARIABLE]) / name
    with _locked(folder, "users", fcntl.LOCK_SH):
        facts = folder / "facts.json"
        with _locked(folder, "starting", fcntl.LOCK_EX):
            if not facts.exists():
                _start_keeper(name, folder)
        yield json.loads(facts.read_text())


@contextmanager
def _locked(folder: Path, name: str, kind: int) -> Iterator[None]:
    """Hold a lock, which a process that is killed gives up as well."""
    path = folder / name
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError), path.open("ab+") as file:
            fcntl.flock(file, kind)
            # The keeper takes the folder away while others wait for the lock.
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield
                return


def _start_keeper(name: str, folder: Path) -> None:
    with (folder / "keeper.log").open("w+") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.shared", name, folder],
            cwd=_REPOSITORY, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
        _keepers.append(keeper)
        while not (folder / "facts.json").exists():
            if keeper.poll() is not None:
                log.seek(0)
                raise AssertionError(f"{name} did not start:\n{log.read()}")
            time.sleep(0.05)


def _keep(name: str, folder: Path) -> None:
    """Run the server until no process uses it any more."""
    serve = importlib.import_module(f"tests.servers.{name}").serve
    data = folder / "data"
    data.mkdir()
    with (folder / "users").open("ab+") as users:
        try:
            with serve(data) as facts:
                (folder / "facts.new").write_text(json.dumps(facts))
                (folder / "facts.new").rename(folder / "facts.json")
                fcntl.flock(users, fcntl.LOCK_EX)
        finally:
            old = folder.rename(folder.with_name(f"{name}.{os.getpid()}"))
            shutil.rmtree(old, ignore_errors=True)
            with suppress(OSError):
                folder.parent.rmdir()


if __name__ == "__main__":
    _keep(sys.argv[1], Path(sys.argv[2]))
