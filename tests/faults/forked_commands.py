"""Run imageport in forked processes, so that many of them cost little. Started by ``tests.faults.machine``.

Each message on the socket, whose number is the argument, is a command as JSON. It runs in a child; the answers are the
child's process id, and later how it ended: its exit status (negative: the signal) and the most memory it took, in KiB.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import io
import json
import os
import selectors
import signal
import socket
import sys
from contextlib import redirect_stdout, suppress
from typing import Any, NoReturn

import typer.main
from tests.faults import moments

from imageport.catalog import postgresql
from imageport.cli import app

#: What commands import when they need it; here it is imported once for all of them.
WARM = (
    "imageport.cli.progress",
    "imageport.cli.summary",
    "imageport.importing.importer",
    "imageport.app.transfer",
    "imageport.app.housekeeping",
    "imageport_builtin.file_store",
    "imageport_builtin.glance_direct",
    "imageport_builtin.image_conversion",
    "imageport_builtin.image_decompression",
    "oslo_utils.imageutils.format_inspector",
)

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
                    _tell_end(commands, running.pop(key.fd))
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


def _tell_end(commands: socket.socket, child: int) -> None:
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
        code = app.main()
    except SystemExit as end:
        code = int(end.code or 0)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    # Whatever a command leaves running becomes a child of this process, where a test can see it.
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    for module in WARM:
        importlib.import_module(module)
    # A server of a database that has gone away does not come back while a command runs.
    postgresql.PATIENCE = 0.2
    # Building the commands takes as long as running one.
    typer.main.get_command = functools.cache(typer.main.get_command)
    sys.argv[1:], arguments = ["--version"], sys.argv[1:]
    with suppress(SystemExit), redirect_stdout(io.StringIO()):
        app.main()
    with socket.socket(fileno=int(arguments[0])) as connection:
        serve(connection)
