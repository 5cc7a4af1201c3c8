"""Run imageport in forked processes, so that many of them cost little. Started by ``tests.faults.machine``.

Each message on the socket is a command as JSON. It runs in a child; the answers are the
child's process id, and later how it ended: its exit status (negative: the signal) and the most memory it took, in KiB.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from tests.faults import moments

from imageport.catalog import postgresql
from imageport.cli import app

PR_SET_CHILD_SUBREAPER = 36
LARGEST_MESSAGE = 64 << 10


def serve(commands: socket.socket) -> None:
    """Run what is asked for until the other end closes the socket."""
    running: dict[int, int] = {}
    commands.send(b"ready")
    with selectors.DefaultSelector() as selector:
        selector.register(commands, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not commands:
                    selector.unregister(key.fileobj)
                    _report_end(commands, running.pop(key.fd))
                    os.close(key.fd)
                elif message := _next_message(commands):
                    child = os.fork()
                    if child == 0:
                        _become(json.loads(message))
                    watch = os.pidfd_open(child)
                    running[watch] = child
                    selector.register(watch, selectors.EVENT_READ)
                    commands.send(json.dumps({"started": child}).encode())
                else:
                    for child in running.values():
                        os.kill(child, signal.SIGKILL)
                    return


def _next_message(commands: socket.socket) -> bytes:
    """Return a message, or nothing when the other end is closed, be it in the middle of a test that failed."""
    try:
        return commands.recv(LARGEST_MESSAGE)
    except ConnectionResetError:
        return b""


def _report_end(commands: socket.socket, child: int) -> None:
    _, status, usage = os.wait4(child, 0)
    end = {"ended": child, "status": os.waitstatus_to_exitcode(status), "peak": usage.ru_maxrss}
    commands.send(json.dumps(end).encode())


def _become(command: dict[str, Any]) -> NoReturn:
    """Be the command from now on."""
    os.chdir(command["folder"])
    for number, (path, flags) in enumerate(
        [
            (command["stdin"], os.O_RDONLY),
            (command["stdout"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
            (command["stderr"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        ]
    ):
        descriptor = os.open(path, flags)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv = ["imageport", *command["arguments"]]
    if command["moments"] is not None:
        moments.watch(command["moments"], {int(at): number for at, number in command["signals"].items()})
    if command["failing_commit"]:
        moments.fail_commit(command["failing_commit"], f"{command['stdout']}.failed")
    try:
        code = app.run()
    except SystemExit as end:
        code = int(end.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def begin(commands: socket.socket, environment: Mapping[str, str]) -> None:
    """Serve commands in this process, which has imported what they need."""
    # Whatever a command leaves running becomes a child of this process, where a test can see it.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    # A server of a database that has gone away does not come back while a command runs.
    postgresql.PATIENCE = 0.2
    os.environ.clear()
    os.environ.update(environment)
    with commands:
        serve(commands)


if __name__ == "__main__":
    importlib.import_module("imageport.testing.warm")
    begin(socket.socket(fileno=int(sys.argv[1])), os.environ.copy())
