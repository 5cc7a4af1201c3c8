"""A server process of a test, which can be frozen, killed and started again, and does not outlive its parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path


class Daemon:
    """A program that stays in the foreground; its output is appended to *log*."""

    def __init__(
        self, command: list[str | Path], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.command = command
        self.log = log
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the last start."""
        assert self._process is not None, f"{self.command[0]} was not started"
        return self._process.pid

    def start(self) -> None:
        """Start the program; it is killed when the thread that calls this ends."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self.command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment, start_new_session=True,
            )  # fmt: skip

    def await_ready(self, is_ready: Callable[[], bool], seconds: float = 120) -> None:
        """Wait until *is_ready*; fails with the end of the log when the program ends before, or takes too long."""
        deadline = time.monotonic() + seconds
        while not is_ready():
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                end = self.log.read_text(errors="replace")[-2000:]
                raise AssertionError(f"{self.command[0]} {'ended' if ended else 'is not ready'}:\n{end}")
            time.sleep(0.05)

    def freeze(self) -> None:
        """Stop the program and its children without a trace: its connections stay open, and it answers nothing."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let the program go on."""
        os.killpg(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """End the program and its children at once, frozen or not."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()


def free_port() -> int:
    """Return a port of the loopback address that no process listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether a server accepts connections at *port* of the loopback address."""
    with socket.socket() as client:
        client.settimeout(1)
        return client.connect_ex(("127.0.0.1", port)) == 0
