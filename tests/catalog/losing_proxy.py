"""A proxy before PostgreSQL that loses one commit: the request for it, or only the answer."""

from __future__ import annotations

import select
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Literal

Loses = Literal["request", "answer"]


class LosingProxy:
    """Passes connections on to the server behind *upstream*, a unix socket, until the commit of a given number.

    That commit does not reach the server, or is not answered. Then the connection is closed; with ``goes_away``, so
    are all others, and no more are accepted. Counts the commits since ``lose`` was called.
    """

    def __init__(self, upstream: Path) -> None:
        self._upstream = str(upstream / ".s.PGSQL.5432")
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self.lose(0, "answer", goes_away=False)
        threading.Thread(target=self._serve, daemon=True).start()

    def lose(self, number: int, what: Loses, *, goes_away: bool) -> None:
        """Lose the commit of this *number* from now on, from 1; 0 loses none."""
        with self._lock:
            self._number, self._what, self._goes_away = number, what, goes_away
            self._commits = 0
            self._is_away = False
            self.has_lost = False

    def close(self) -> None:
        """Accept no more connections."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(client,), daemon=True).start()

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, suppress(OSError):
            server.connect(self._upstream)
            while not self._is_away:
                ready, _, _ = select.select([client, server], [], [], 0.05)
                if server in ready:
                    if not (answer := server.recv(1 << 16)):
                        return
                    client.sendall(answer)
                if client in ready:
                    if not (request := client.recv(1 << 16)):
                        return
                    if self._is_lost(request):
                        if self._what == "answer":
                            server.sendall(request)
                            server.recv(1 << 16)
                        return
                    server.sendall(request)

    def _is_lost(self, request: bytes) -> bool:
        if b"COMMIT\0" not in request:
            return False
        with self._lock:
            self._commits += 1
            if self._commits != self._number:
                return False
            self.has_lost = True
            self._is_away = self._goes_away
            return True
