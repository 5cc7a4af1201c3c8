"""A server for the tests of shared servers; it serves nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.daemon import Daemon


@contextmanager
def serve(folder: Path) -> Iterator[dict[str, str]]:
    """Run a program that waits."""
    daemon = Daemon(["sleep", "infinity"], folder / "log")
    daemon.start()
    try:
        yield {"server": str(daemon.pid), "keeper": str(os.getpid())}
    finally:
        daemon.kill()
