"""The moments of a command at which something outside of it changes, and signals that come at one of them.

A moment is right before a file is opened for writing, named, renamed, removed, given its length or locked, before a
program is started, and before each change and the end of each transaction that changes the catalog.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from imageport.catalog.database import Transaction
from imageport.catalog.sqlite import SqliteDatabase

_CHANGES = frozenset(
    {
        "fcntl.flock",
        "fcntl.ioctl",
        "os.chmod",
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.setxattr",
        "os.truncate",
        "os.utime",
        "subprocess.Popen",
    }
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_STATEMENTS = ("INSERT", "UPDATE", "DELETE")


def fail_commit(failing: int, mark: str) -> None:
    """Let the commit of this number, from 1, fail as on a bad disk; then make the file *mark*."""
    begun = 0

    def fail(*_: object) -> None:
        nonlocal begun
        begun += 1
        if begun == failing:
            os.close(os.open(mark, os.O_WRONLY | os.O_CREAT))
            raise sqlite3.OperationalError("disk I/O error")

    _call_first(SqliteDatabase, "commit", fail)


def watch(log: str, signals: Mapping[int, int]) -> None:
    """Write each moment of this process to the file *log* from now on, and send itself *signals* at some of them.

    They are given by the number of the moment, from 0 on.
    """
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    passed = 0

    def record(moment: str) -> None:
        nonlocal passed
        number, passed = passed, passed + 1
        os.write(descriptor, f"{moment}\n".encode())
        if number in signals:
            # A signal to the process may reach another thread first, while this one goes on.
            signal.pthread_kill(threading.get_ident(), signals[number])

    def audit(name: str, arguments: tuple[Any, ...]) -> None:
        if name in _CHANGES:
            record(f"{name} {arguments[0]}")
        elif name == "open" and arguments[2] & _WRITING:
            record(f"open {arguments[0]}")

    sys.addaudithook(audit)

    def execute(_transaction: Transaction, text: str, *_: object) -> None:
        if text.startswith(_STATEMENTS):
            record(" ".join(text.split()[:3]))

    _call_first(Transaction, "_execute", execute)
    _call_first(SqliteDatabase, "commit", lambda *_: record("commit"))


def _call_first(owner: type, method: str, first: Callable[..., None]) -> None:
    """Call *first*, with the same arguments, before each call of a method."""
    usual = getattr(owner, method)

    def both(*arguments: Any) -> Any:
        first(*arguments)
        return usual(*arguments)

    setattr(owner, method, both)
