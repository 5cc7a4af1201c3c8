r"""A real HTTP server on loopback that gives exactly the answers of a test, faults included.

::

    with HttpServer() as server:
        server.publish("/disk.raw", body, etag='"1"')            # a well-behaved file: Range, If-Range, ETag
        server.answer("/flaky", status(500), content(body))      # first request, all later requests
        server.answer("/odd", lambda reply: reply.write(b"HTTP/1.1 200 OK\r\n\r\n"))
        server.url("/disk.raw")                                  # http://127.0.0.1:<port>/disk.raw
        server.requests                                          # what was asked, in order
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any

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


@dataclass(frozen=True)
class Request:
    """A request of a client."""

    method: str
    path: str
    headers: Message
    body: bytes

    @property
    def range(self) -> str | None:
        """The range that was asked for, as written; None stands for everything."""
        return self.headers["Range"]


@dataclass(frozen=True)
class Reply:
    """The connection on which a behaviour answers ``request``."""

    request: Request
    connection: socket.socket
    closing: threading.Event

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        """Write the status line and *headers*."""
        lines = [f"HTTP/1.1 {status} Whatever", "Date: Wed, 03 Jan 2024 00:00:00 GMT", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1"))

    def write(self, data: bytes) -> None:
        """Write *data* as it is."""
        self.connection.sendall(data)

    def stall(self, seconds: float = 30) -> None:
        """Write nothing for *seconds*, or until the server is closed."""
        self.closing.wait(seconds)

    def reset(self) -> None:
        """Break the connection as a crashing machine does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


#: Answers one request: it writes to the connection of the reply.
Behaviour = Callable[[Reply], None]


def content(body: bytes, *, headers: Mapping[str, str] | None = None, length: str | None = None) -> Behaviour:
    """Answer with *body*, announced with its Content-Length or with *length*."""
    announced = str(len(body)) if length is None else length

    def behave(reply: Reply) -> None:
        reply.head(200, {"Content-Length": announced, **(headers or {})})
        reply.write(body)

    return behave


def chunked(*pieces: bytes, complete: bool = True, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answer with *pieces* in chunks, without a Content-Length."""

    def behave(reply: Reply) -> None:
        reply.head(200, {"Transfer-Encoding": "chunked", **(headers or {})})
        for piece in pieces:
            reply.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if complete:
            reply.write(b"0\r\n\r\n")

    return behave


def status(code: int, headers: Mapping[str, str] | None = None) -> Behaviour:
    """Answer with *code* and no body."""
    return lambda reply: reply.head(code, {"Content-Length": "0", **(headers or {})})


def redirect(url: str, code: int = 302) -> Behaviour:
    """Send the client on to *url*."""
    return status(code, {"Location": url})


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
        """Publish *body* as a file server does (see ``http_answers.File``) and return its url."""
        from imageport.testing.http_answers import File

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
        """Clients that hang up are what many tests are about."""
