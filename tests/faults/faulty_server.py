"""An HTTP server on loopback whose answers are wrong in the ways that answers of real servers are.

::

    with FaultyServer() as server:
        url = server.serve("/disk.raw", Truncated(body, after=1000), File(body))  # first request, all later requests
        server.requests                                                           # what was asked, in order

An answer is a coroutine function that gets the request and the connection. ``File`` is a well-behaved file server; the
faults are its subclasses, or stand for themselves. The server runs in a thread of its own, in one event loop, so a
stalled answer costs nothing, and none outlives the test.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from types import TracebackType

#: Bytes that are written at once.
_PIECE = 64 << 10


@dataclass(frozen=True)
class Request:
    """What a client asked for."""

    method: str
    path: str
    headers: Message

    @property
    def range(self) -> str | None:
        """The range that was asked for, as written."""
        return self.headers["Range"]


@dataclass(frozen=True)
class Line:
    """The connection to the client."""

    writer: asyncio.StreamWriter

    async def head(self, status: int, **fields: object) -> None:
        """Send the status line and header fields, underscores in their names written as hyphens."""
        lines = [f"HTTP/1.1 {status} Whatever", "Date: Wed, 03 Jan 2024 00:00:00 GMT", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items() if value is not None]
        self.writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())
        await self.writer.drain()

    async def body(self, data: bytes) -> None:
        """Send *data*."""
        for start in range(0, len(data), _PIECE):
            self.writer.write(data[start : start + _PIECE])
            await self.writer.drain()


Answer = Callable[[Request, Line], Awaitable[None]]


@dataclass(frozen=True)
class File:
    """A file as a good server has it: ETag, ranges, and a HEAD that nobody needs."""

    data: bytes
    etag: str | None = '"1"'
    modified: str | None = None
    ranges: bool = True
    encoding: str | None = None
    length: int | None = None

    async def __call__(self, request: Request, line: Line) -> None:
        start, stop = self._asked(request)
        if start >= len(self.data) > 0:
            await line.head(416, Content_Range=f"bytes */{len(self.data)}", Content_Length=0)
            return
        partial = (start, stop) != (0, len(self.data))
        await line.head(
            206 if partial else 200,
            Content_Length=(stop - start) if self.length is None or partial else self.length,
            Content_Range=f"bytes {start}-{stop - 1}/{len(self.data)}" if partial else None,
            Accept_Ranges="bytes" if self.ranges else None,
            ETag=self.etag,
            Last_Modified=self.modified,
            Content_Encoding=self.encoding,
        )
        if request.method != "HEAD":
            await self.send(line, self.data[start:stop])

    def _asked(self, request: Request) -> tuple[int, int]:
        whole = 0, len(self.data)
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.range or "")
        condition = request.headers["If-Range"]
        if not found or not self.ranges or condition not in (None, self.etag, self.modified):
            return whole
        return int(found[1]), min(int(found[2] or len(self.data)) + bool(found[2]), len(self.data))

    async def send(self, line: Line, data: bytes) -> None:
        """Send the part that was asked for."""
        await line.body(data)


@dataclass(frozen=True)
class Truncated(File):
    """Hangs up after so many bytes."""

    after: int = 0

    async def send(self, line: Line, data: bytes) -> None:
        await line.body(data[: self.after])


@dataclass(frozen=True)
class Stalled(File):
    """Says nothing more after so many bytes, and does not hang up."""

    after: int = 0

    async def send(self, line: Line, data: bytes) -> None:
        await line.body(data[: self.after])
        await asyncio.sleep(3600)


@dataclass(frozen=True)
class Dripping(File):
    """Sends so many bytes at once, and then *drop* bytes at a time, *pause* seconds apart."""

    after: int = 0
    drop: int = 1
    pause: float = 0.02

    async def send(self, line: Line, data: bytes) -> None:
        await line.body(data[: self.after])
        for start in range(self.after, len(data), self.drop):
            await line.body(data[start : start + self.drop])
            await asyncio.sleep(self.pause)


@dataclass(frozen=True)
class Gathering(File):
    """Sends nothing to anybody before so many clients have asked; then it sends to all, at its own pace each."""

    parties: int = 2
    asked: list[asyncio.Event] = field(default_factory=list)

    async def send(self, line: Line, data: bytes) -> None:
        complete = asyncio.Event()
        self.asked.append(complete)
        if len(self.asked) >= self.parties:
            for event in self.asked:
                event.set()
        await complete.wait()
        await line.body(data)


@dataclass(frozen=True)
class Endless(File):
    """Sends the file again and again, without saying how long it is."""

    async def __call__(self, request: Request, line: Line) -> None:
        await line.head(200, Content_Type="application/octet-stream")
        while True:
            await line.body(self.data)


@dataclass(frozen=True)
class Status:
    """Answers with a status and no body."""

    code: int
    retry_after: str | None = None
    location: str | None = None

    async def __call__(self, request: Request, line: Line) -> None:
        await line.head(self.code, Content_Length=0, Retry_After=self.retry_after, Location=self.location)


@dataclass(frozen=True)
class Page:
    """Says 200, and sends a page for people about what went wrong."""

    text: str = "<html><h1>Sorry</h1>We are down for maintenance.</html>"
    kind: str | None = "text/html; charset=utf-8"

    async def __call__(self, request: Request, line: Line) -> None:
        await line.head(200, Content_Length=len(self.text), Content_Type=self.kind)
        await line.body(self.text.encode())


@dataclass
class _Place:
    answers: list[Answer]
    asked: int = 0

    def next(self) -> Answer:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


@dataclass
class FaultyServer:
    """Serves from entering the ``with`` statement to leaving it, also to those who wait for an answer then."""

    refuses_head: bool = True
    requests: list[Request] = field(default_factory=list)
    _places: dict[str, _Place] = field(default_factory=dict)
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    _port: int = 0

    def serve(self, path: str, *answers: Answer) -> str:
        """Answer the requests for *path* with one after another, and later ones with the last; return the url."""
        self._places[path] = _Place(list(answers))
        return f"http://127.0.0.1:{self._port}{path}"

    def asked(self, path: str) -> list[str | None]:
        """Return the ranges that were asked for of *path*, in order; None stands for everything."""
        return [request.range for request in self.requests if request.path == path]

    def __enter__(self) -> FaultyServer:
        self._server = self._loop.run_until_complete(asyncio.start_server(self._answer, "127.0.0.1", 0))
        self._port = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        answering = asyncio.all_tasks() - {asyncio.current_task()}
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            request_line, _, fields = (await reader.readuntil(b"\r\n\r\n")).partition(b"\r\n")
            method, path, _ = request_line.decode().split()
            request = Request(method, path, BytesParser().parsebytes(fields))
            self.requests.append(request)
            refused = self.refuses_head and method == "HEAD"
            place = self._places.get(path)
            answer = Status(405) if refused else place.next() if place else Status(404)
            await answer(request, Line(writer))
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Clients that hang up are what many tests are about; tasks are cancelled at the end of the test.
            pass
        finally:
            writer.close()
