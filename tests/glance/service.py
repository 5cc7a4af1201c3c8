"""One OpenStack service in a separate process, from entering the ``with`` statement to leaving it."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

#: Seconds that a service may take to answer for the first time.
PATIENCE = 60


class Service:
    """A WSGI application that gunicorn serves on a port of the kernel's choice."""

    def __init__(self, folder: Path, application: str, environment: Mapping[str, str]) -> None:
        require_the_environment()
        self.folder = folder
        self._application = application
        self._environment = {**os.environ, **environment}
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._process: subprocess.Popen[bytes] | None = None

    def manage(self, *command: str | Path) -> None:
        """Run a program of the service to its end."""
        program = Path(sys.executable).with_name(str(command[0]))
        done = subprocess.run(
            [program, *command[1:]], env=self._environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()

    def __enter__(self) -> Self:
        settings = self.folder / "gunicorn.py"
        descriptor = self._socket.fileno()
        settings.write_text(
            f'wsgi_app = "{self._application}"\nbind = "fd://{descriptor}"\nworkers = 1\nthreads = 8\n'
        )
        # Keystone reads the command line of whatever serves it, so gunicorn must not have one.
        environment = self._environment | {"GUNICORN_CMD_ARGS": f"--config {settings}"}
        with (self.folder / "output.log").open("wb") as output:
            self._process = subprocess.Popen(
                [Path(sys.executable).with_name("gunicorn")],
                env=environment, pass_fds=[descriptor], stdout=output, stderr=output,
            )  # fmt: skip
        self._socket.close()
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _wait(self) -> None:
        """Return when the service answers, with any status."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self._process is not None and self._process.poll() is None:
            try:
                urllib.request.urlopen(self.url, timeout=PATIENCE).close()
            except urllib.error.HTTPError:
                return
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError((self.folder / "output.log").read_text())


def require_the_environment() -> None:
    """Fail, rather than skip, where Glance is not installed: who names these tests wants them to run."""
    if importlib.util.find_spec("glance") is None:
        raise AssertionError("no Glance is installed here: run 'tox -e glance' or 'make glance'")
