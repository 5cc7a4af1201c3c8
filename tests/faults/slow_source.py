"""A source of data that stands still when a test wants it to: a named pipe."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.faults.machine import DEADLINE, Command, Machine


class SlowSource:
    """Feeds a command through the named pipe at *path*, as far as the test allows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        # Open for both: neither waits for the other end.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def __enter__(self) -> SlowSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Let the data come to its end."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def pour(self, data: bytes, machine: Machine, command: Command) -> None:
        """Give *data* to the command, or as much of it as it takes before it ends."""
        deadline = time.monotonic() + DEADLINE
        rest = memoryview(data)
        while rest and not machine.is_over(command):
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                assert time.monotonic() < deadline, "no process reads"
                time.sleep(0.002)
