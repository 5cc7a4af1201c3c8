"""Commands in separate processes, forked from one that has run a command already.

A new interpreter imports for half a second before a command begins; a fork takes milliseconds. A fork differs from a
new interpreter only in the settings that Python reads when it starts, the variables ``PYTHON...``: tests of those start
one.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import BinaryIO, NoReturn

from imageport.cli.app import end_process
from imageport.testing.running import MODULE_PATH, Finished, run_main

#: Seconds after which a command that has not ended is killed.
DEADLINE = 120.0


@functools.cache
def forks() -> ForkServerContext:
    """Return the context of ``multiprocessing`` whose processes have run a small import before they begin."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["imageport.testing.warm"])
    return found


class Forked:
    """A command in a separate process, with pipes to its standard input and from its standard output."""

    def __init__(
        self,
        arguments: Sequence[str | Path],
        folder: Path,
        environment: Mapping[str, str],
        *,
        strict: bool = False,
    ) -> None:
        """Start ``imageport`` with *arguments* in *folder*; if *strict*, each warning of Python is an error."""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        (stdin, self.stdin), (stdout, self.stdout) = _pipe(into=True), _pipe(into=False)
        with stdin, stdout, Connection(os.dup(self._stderr.fileno()), readable=False) as stderr:
            standard = (stdin, stdout, stderr)
            self._process = forks().Process(
                target=_become, args=([*map(str, arguments)], folder, dict(environment), strict, standard)
            )
            self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while the command runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the command has ended."""
        if self._process.exitcode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End the command as a crash does."""
        self.send_signal(signal.SIGKILL)

    def finish(self, data: bytes = b"") -> Finished:
        """Write *data* to the command, wait for its end, and return its output since."""
        feeding = threading.Thread(target=self._feed, args=(data,))
        giving_up = threading.Timer(DEADLINE, self.kill)
        feeding.start()
        giving_up.start()
        with self.stdout:
            printed = self.stdout.read()
        feeding.join()
        self._process.join()
        giving_up.cancel()
        assert self._process.exitcode is not None
        with self._stderr:
            self._stderr.seek(0)
            complaints = self._stderr.read()
        return Finished(self._process.exitcode, printed.decode(), complaints.decode())

    def _feed(self, data: bytes) -> None:
        if not self.stdin.closed:
            with contextlib.suppress(BrokenPipeError), self.stdin:
                self.stdin.write(data)


def _pipe(*, into: bool) -> tuple[Connection, BinaryIO]:
    """Return the end of a new pipe for a command, and the other end as a file; *into* the command or out of it."""
    reads, writes = os.pipe()
    if into:
        return Connection(reads, writable=False), os.fdopen(writes, "wb")
    return Connection(writes, readable=False), os.fdopen(reads, "rb")


def _become(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    strict: bool,
    standard: tuple[Connection, Connection, Connection],
) -> NoReturn:
    """Be the command from now on."""
    for number, end in enumerate(standard):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process
        for number, mode in enumerate("rww")
    )
    if strict:
        warnings.simplefilter("error")
    # Settings of the tests are not for commands.
    added = [entry for entry in environment.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = [*added, *MODULE_PATH]
    importlib.invalidate_caches()
    os.environ.clear()
    os.environ.update(environment)
    time.tzset()
    os.chdir(folder)
    end_process(run_main(arguments))
