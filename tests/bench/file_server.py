"""A web server that costs next to nothing: the kernel sends the files of a folder.

``python -m tests.bench.file_server FOLDER`` prints its address and serves until its standard input ends.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def main(folder: Path) -> None:
    """Serve until standard input ends, as it does when the parent process has died."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    # Where the default is bbr, its timers pace even what goes through memory, now and then at twice the cost.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    threading.Thread(target=_accept, args=(listener, folder), daemon=True).start()
    sys.stdin.read()


def _accept(listener: socket.socket, folder: Path) -> None:
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=(connection, folder), daemon=True).start()


def _serve(connection: socket.socket, folder: Path) -> None:
    # Clients hang up when they have what they need.
    with connection, connection.makefile("rb") as requests, suppress(ConnectionError):
        while request := requests.readline().split():
            while requests.readline().strip():
                pass
            _answer(connection, folder / Path(request[1].decode()).name, body=request[0] == b"GET")


def _answer(connection: socket.socket, path: Path, *, body: bool) -> None:
    if not path.is_file():
        connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = f'HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nETag: "{size}"\r\n\r\n'
        connection.sendall(head.encode())
        if body:
            connection.sendfile(file)


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the files of *folder* in a separate process, and yield its url."""
    command = [sys.executable, "-m", "tests.bench.file_server", str(folder)]
    repository = Path(__file__).parents[2]
    with subprocess.Popen(
        command, cwd=repository, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin and server.stdout
        try:
            yield server.stdout.readline().strip()
        finally:
            server.stdin.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
