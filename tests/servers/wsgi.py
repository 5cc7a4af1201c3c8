"""An OpenStack service in a separate process, from entering the ``with`` statement to leaving it."""

from __future__ import annotations

import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.daemon import Daemon, free_port

#: Where ``.ci/prepare packages`` has installed the programs of servers.
PROGRAMS = Path(__file__).parents[2] / ".packages/servers/bin"

#: Seconds that a service may take for one answer.
_PATIENCE = 5


class Service:
    """A WSGI application that gunicorn serves at a port of the loopback address; ``daemon`` is its process."""

    def __init__(self, folder: Path, application: str, environment: Mapping[str, str]) -> None:
        if not PROGRAMS.exists():
            raise AssertionError("no servers are installed here: run .ci/prepare packages")
        self.folder = folder
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        settings = folder / "gunicorn.py"
        settings.write_text(
            f'wsgi_app = "{application}"\nbind = "127.0.0.1:{port}"\nworkers = 1\nthreads = 8\n'
            # A worker that was frozen is not slow: it goes on with its requests.
            "timeout = 0\n"
        )
        # Keystone reads the command line of the program that serves it, so gunicorn must not have one.
        self._environment = {**environment, "GUNICORN_CMD_ARGS": f"--config {settings}"}
        self.daemon = Daemon([PROGRAMS / "gunicorn"], folder / "output.log", self._environment)

    def manage(self, *command: str | Path) -> None:
        """Run a program of the service to its end."""
        program, *arguments = command
        environment = {**os.environ, **self._environment}
        done = subprocess.run(
            [PROGRAMS / program, *arguments], env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()

    def start(self) -> None:
        """Start the service, for the first time or after it was killed, and wait until it answers."""
        self.daemon.start()
        self.daemon.await_ready(self._answers)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.daemon.kill()

    def _answers(self) -> bool:
        """Whether the service answers, with any status."""
        try:
            urllib.request.urlopen(self.url, timeout=_PATIENCE).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True
