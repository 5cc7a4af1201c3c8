"""Run a command where the only name server takes questions and never answers.

Usage, in separate network and mount namespaces (``unshare --map-root-user --net --mount``)::

    python silent_name_server.py SIGNAL COMMAND...

SIGNAL is sent to the command once the name server was asked; 0 sends nothing. Prints a line of JSON: the exit code,
what the command printed, and the name that was asked for.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import subprocess
import sys
import tempfile

SIOCSIFFLAGS = 0x8914
IFF_UP = 1


def main(number: int, command: list[str]) -> None:
    """Be the name server, and run *command*."""
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    fcntl.ioctl(server, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))
    server.bind(("127.0.0.1", 53))
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as settings:
        settings.write("nameserver 127.0.0.1\noptions timeout:30 attempts:5\n")
        settings.flush()
        subprocess.run(["mount", "--bind", settings.name, "/etc/resolv.conf"], check=True)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            # A command that does not ask would be waited for in vain.
            server.settimeout(30)
            question = server.recv(512)
            if number:
                running.send_signal(number)
            out, err = running.communicate(timeout=100)
    asked = question[12:].partition(b"\0")[0]
    print(json.dumps({"code": running.returncode, "out": out, "err": err, "asked": asked.decode()}))


main(int(sys.argv[1]), sys.argv[2:])
