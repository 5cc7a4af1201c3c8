r"""A real HTTP server on loopback that gives exactly the answers of a test, faults included.

::

    with HttpServer() as server:
        server.publish("/disk.raw", body, etag='"1"')            # a well-behaved file: Range, If-Range, ETag
        server.answer("/flaky", status(500), content(body))      # first request, all later requests
        server.answer("/odd", lambda reply: reply.write(b"HTTP/1.1 200 OK\r\n\r\n"))
        server.url("/disk.raw")                                  # http://127.0.0.1:<port>/disk.raw
        server.requests                                          # the requests, in order
"""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any

from imageport.testing.http_answers import Behaviour, File, Reply, Request, chunked, content, redirect, status

__all__ = [
    "PUBLISHED",
    "Behaviour",
    "HttpServer",
    "Reply",
    "Request",
    "chunked",
    "content",
    "redirect",
    "status",
]

#: A date for ``Last-Modified``.
PUBLISHED = "Tue, 02 Jan 2024 03:04:05 GMT"


class HttpServer:
    """Serves in separate threads from entering the ``with`` statement to leaving it."""

    def __init__(
        self, *, tls: ssl.SSLContext | None = None, name: str = "127.0.0.1", refuses_head: bool = False
    ) -> None:
        self.requests: list[Request] = []
        self._behaviours: dict[str, list[Behaviour]] = {}
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._scheme = "https" if tls else "http"
        self._name = name
        self._refuses_head = refuses_head
        self._connections: set[socket.socket] = set()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.port: int = self._server.server_address[1]
        if tls:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    def url(self, path: str = "/", *, name: str | None = None) -> str:
        """Return the url of *path*, with *name* for a host."""
        return f"{self._scheme}://{name or self._name}:{self.port}{path}"

    def answer(self, path: str, *behaviours: Behaviour) -> str:
        """Have requests for *path* answered by *behaviours* one after another; the last one stays."""
        self._behaviours[path] = list(behaviours)
        return self.url(path)

    def publish(self, path: str, body: bytes, **options: Any) -> str:
        """Publish *body* as a file server does (see ``File``) and return its url."""
        return self.answer(path, File(body, **options))

    def paths(self) -> list[str]:
        """Return the paths that were asked for, in order."""
        return [request.path for request in self.requests]

    def asked(self, path: str) -> list[str | None]:
        """Return the ranges that were asked for of *path*, in order; None stands for everything."""
        return [request.range for request in self.requests if request.path == path]

    def __enter__(self) -> HttpServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        for connection in tuple(self._connections):
            # A behaviour may be writing to a client that does not read.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _next(self, path: str) -> Behaviour:
        with self._lock:
            behaviours = self._behaviours.get(path, [status(404)])
            return behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                request = Request(self.command, self.path, self.headers, body)
                outer.requests.append(request)
                self.close_connection = True
                behave = (
                    status(405) if outer._refuses_head and self.command == "HEAD" else outer._next(self.path)
                )
                outer._connections.add(self.connection)
                try:
                    behave(Reply(request, self.connection, outer._closing))
                finally:
                    outer._connections.discard(self.connection)

            do_GET = do_POST = do_HEAD = do_CONNECT = answer  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Keep quiet."""

        return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = False

    def server_bind(self) -> None:
        """Bind without asking the name service of this machine for a name of the address."""
        TCPServer.server_bind(self)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that hang up, which many tests do."""
