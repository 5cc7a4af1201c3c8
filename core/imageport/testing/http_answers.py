"""Files as web servers offer them, and the ways in which their answers go wrong, as behaviours of ``HttpServer``.

::

    server.answer("/disk.raw", Truncated(body, after=1000), File(body))  # first request, all later requests
"""

from __future__ import annotations

import re
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message

__all__ = [
    "Behaviour",
    "Dripping",
    "Endless",
    "File",
    "Gathering",
    "HtmlPage",
    "Reply",
    "Request",
    "Stalled",
    "Status",
    "Truncated",
    "chunked",
    "content",
    "redirect",
    "status",
]


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


@dataclass(frozen=True)
class File:
    """A file as a good server offers it: with an ETag, ranges, and an answer to HEAD.

    ``length`` replaces the Content-Length of the whole file. ``headers`` are added.
    """

    data: bytes
    etag: str | None = '"1"'
    modified: str | None = None
    ranges: bool = True
    encoding: str | None = None
    length: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, reply: Reply) -> None:
        """Answer the request."""
        start, stop = self._asked(reply)
        if start >= len(self.data) > 0:
            reply.head(416, {"Content-Range": f"bytes */{len(self.data)}", "Content-Length": "0"})
            return
        partial = (start, stop) != (0, len(self.data))
        length = stop - start if self.length is None or partial else self.length
        optional = {
            "Content-Range": f"bytes {start}-{stop - 1}/{len(self.data)}" if partial else None,
            "Accept-Ranges": "bytes" if self.ranges else None,
            "ETag": self.etag,
            "Last-Modified": self.modified,
            "Content-Encoding": self.encoding,
        }
        given = {name: text for name, text in optional.items() if text is not None}
        reply.head(206 if partial else 200, {"Content-Length": str(length), **given, **self.headers})
        if reply.request.method != "HEAD":
            self.send(reply, self.data[start:stop])

    def send(self, reply: Reply, data: bytes) -> None:
        """Send the part that was asked for."""
        reply.write(data)

    def _asked(self, reply: Reply) -> tuple[int, int]:
        """Return the first byte to send and the one after the last."""
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", reply.request.range or "")
        condition = reply.request.headers["If-Range"]
        if not found or not self.ranges or condition not in (None, self.etag, self.modified):
            return 0, len(self.data)
        return int(found[1]), min(int(found[2] or len(self.data)) + bool(found[2]), len(self.data))


@dataclass(frozen=True)
class Truncated(File):
    """A file whose server hangs up after so many bytes."""

    after: int = 0

    def send(self, reply: Reply, data: bytes) -> None:
        """Send the beginning."""
        reply.write(data[: self.after])


@dataclass(frozen=True)
class Stalled(File):
    """A file whose server sends nothing more after so many bytes, and does not hang up."""

    after: int = 0

    def send(self, reply: Reply, data: bytes) -> None:
        """Send the beginning, and wait."""
        reply.write(data[: self.after])
        reply.stall(3600)


@dataclass(frozen=True)
class Dripping(File):
    """A file whose server sends so many bytes at once, and then *drop* bytes at a time, *pause* seconds apart."""

    after: int = 0
    drop: int = 1
    pause: float = 0.02

    def send(self, reply: Reply, data: bytes) -> None:
        """Send the data slowly."""
        reply.write(data[: self.after])
        for start in range(self.after, len(data), self.drop):
            reply.write(data[start : start + self.drop])
            reply.stall(self.pause)


@dataclass(frozen=True)
class Gathering(File):
    """A file whose server sends nothing before so many clients have asked, and then sends to all of them."""

    parties: int = 2
    complete: threading.Event = field(default_factory=threading.Event)
    asked: list[str | None] = field(default_factory=list)

    def send(self, reply: Reply, data: bytes) -> None:
        """Wait for the others, and send the data."""
        self.asked.append(reply.request.range)
        if len(self.asked) >= self.parties:
            self.complete.set()
        while not (self.complete.wait(0.05) or reply.closing.is_set()):
            pass
        reply.write(data)


@dataclass(frozen=True)
class Endless(File):
    """A file that is sent again and again, without a length."""

    def __call__(self, reply: Reply) -> None:
        """Send data until the client or the server ends."""
        reply.head(200, {"Content-Type": "application/octet-stream"})
        while not reply.closing.is_set():
            reply.write(self.data)


@dataclass(frozen=True)
class Status:
    """A status without a body."""

    code: int
    retry_after: str | None = None
    location: str | None = None

    def __call__(self, reply: Reply) -> None:
        """Send the status."""
        fields = {"Retry-After": self.retry_after, "Location": self.location}
        given = {name: text for name, text in fields.items() if text is not None}
        reply.head(self.code, {"Content-Length": "0", **given})


@dataclass(frozen=True)
class HtmlPage:
    """A page for people about an error, with the status 200."""

    text: str = "<html><h1>Sorry</h1>We are down for maintenance.</html>"
    kind: str | None = "text/html; charset=utf-8"

    def __call__(self, reply: Reply) -> None:
        """Send the page."""
        kind = {} if self.kind is None else {"Content-Type": self.kind}
        reply.head(200, {"Content-Length": str(len(self.text)), **kind})
        reply.write(self.text.encode())
