"""One request, which may ask for a part of a body, and the beginning of its answer."""

from __future__ import annotations

import http.client
import io
import re
from dataclasses import dataclass
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING

from urllib3 import HTTPHeaderDict

from imageport.http.headers import announced_length

if TYPE_CHECKING:
    from urllib3.connection import HTTPConnection

_CONTENT_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+|\*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rest:
    """The rest of a body: everything from byte *start*, if it is still the same body.

    It is the same when it has *total* bytes (None: unknown) and *validator*, a strong ETag or a date, still holds.
    Without a validator the caller compares the whole with a digest. With *stop*, it ends before that byte.
    """

    start: int
    total: int | None
    validator: str | None
    stop: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """The header fields that ask for it (RFC 9110, 13.1.5 and 14.2)."""
        condition = {"If-Range": self.validator} if self.validator else {}
        last = "" if self.stop is None else self.stop - 1
        return {"Range": f"bytes={self.start}-{last}", **condition}

    def misfit(self, answer: http.client.HTTPResponse) -> str | None:
        """Return why *answer* is not this rest, or None when it is."""
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        name = "ETag" if (self.validator or "").startswith('"') else "Last-Modified"
        if answer.status != HTTPStatus.PARTIAL_CONTENT or found is None:
            return f"instead of the rest the server answered {answer.status}"
        stop = self.stop if self.stop is not None or found[3] == "*" else int(found[3])
        if int(found[1]) != self.start or stop not in (None, int(found[2]) + 1):
            wanted = "everything" if self.stop is None else f"{self.stop - self.start} bytes"
            return f"asked for {wanted} from byte {self.start} the server sent '{found[0]}'"
        if self.total is not None and found[3] not in ("*", str(self.total)):
            return f"its size was {self.total} bytes and is now {found[3]}"
        if self.validator is not None and answer.headers.get(name, self.validator) != self.validator:
            return f"its {name} was {self.validator!a} and is now {answer.headers[name]!a}"
        return None

    @classmethod
    def whole(cls, answer: http.client.HTTPResponse) -> Rest | None:
        """Return the whole of a body when *answer*, with the status 206, has exactly that; else None."""
        found = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != 0 or found[3] != str(int(found[2]) + 1):
            return None
        length = announced_length(answer.headers)
        return cls(0, int(found[3]), None) if length in (None, int(found[3])) else None

    def total_of(self, answer: http.client.HTTPResponse) -> int | None:
        """Return the size of the whole body after *answer*, which fits."""
        found = _CONTENT_RANGE.fullmatch(answer.headers["Content-Range"])
        return int(found[3]) if found and found[3] != "*" else self.total


@dataclass(frozen=True)
class Exchange:
    """A request that was sent, and the beginning of its answer."""

    connection: HTTPConnection
    answer: http.client.HTTPResponse

    @cached_property
    def headers(self) -> HTTPHeaderDict:
        """The header fields, those of one name joined."""
        return HTTPHeaderDict(self.answer.headers.items())

    def read_into(self, buffer: memoryview) -> int | None:
        """Fill *buffer* by one read, undecoded, and return the number of bytes; 0 at the end.

        None when the watch has ended the read before anything came.
        """
        if self.answer.chunked:
            piece = self.answer.read1(len(buffer))
            buffer[: len(piece)] = piece
            return len(piece)
        # From the socket to the buffer without a copy; the methods of the answer would wait until it is full.
        stream: io.BufferedReader | None = getattr(self.answer, "fp", None)
        return stream.readinto1(buffer) if stream else 0

    def close(self) -> None:
        """Hang up."""
        self.answer.close()
        self.connection.close()
