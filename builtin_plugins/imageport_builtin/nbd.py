"""Read a disk that another program exports over the Network Block Device protocol.

A client of the fixed newstyle handshake and of structured replies, which distinguish holes from data
(https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md).
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from imageport import Chunks
from imageport.dataplane import CHUNK_SIZE, ZERO_CHUNK, Chunk, lend_buffer

#: Requests on their way at the same time: the other side reads ahead while we are busy.
_AHEAD = 4

_SERVER_MAGIC = b"NBDMAGIC"
_OPTION_MAGIC = b"IHAVEOPT"
_OPTION_REPLY_MAGIC = 0x3E889045565A9
_FIXED_NEWSTYLE, _NO_ZEROES = 1, 2
_OPTION_GO, _OPTION_STRUCTURED_REPLY = 7, 8
_ACKNOWLEDGED, _INFORMATION = 1, 3
_ABOUT_EXPORT = 0

_REQUEST_MAGIC = 0x25609513
_CHUNK_MAGIC = 0x668E33EF
_READ, _DISCONNECT = 0, 2
_DONE = 1
_NOTHING, _DATA, _HOLE = 0, 1, 2
_ERRORS = 1 << 15

#: Bytes of an answer to an option, and of a message about an error, beyond which the server is not believed.
_LONGEST_ANSWER = 64 << 10
_MOST_ANSWERS = 100


class NbdError(Exception):
    """The other side does not keep to the protocol, or hung up."""


class NbdHangUpError(NbdError):
    """The other side has closed the connection."""


class NbdReadError(NbdError):
    """The other side cannot read its disk from byte *position* on; *code* is that of errno."""

    def __init__(self, position: int, code: int, message: str) -> None:
        super().__init__(f"the disk cannot be read from byte {position} on: {message}")
        self.position = position
        self.code = code
        self.message = message


@dataclass
class _Request:
    """A requested part of the disk, and the bytes received of it."""

    start: int
    length: int
    missing: int
    buffer: memoryview | None = None
    holes: list[tuple[int, int]] = field(default_factory=list)
    done: bool = False

    def part(self, start: int, length: int) -> tuple[int, int]:
        """Return where in the buffer *length* bytes at *start* of the disk belong."""
        begin = start - self.start
        if not 0 <= begin <= begin + length <= self.length or length > self.missing:
            raise NbdError(f"unexpected bytes arrived, {length} at {start}")
        self.missing -= length
        return begin, begin + length

    def piece(self) -> Chunk:
        """Return the bytes, all of which are here."""
        if self.missing:
            raise NbdError(f"{self.missing} bytes are missing from {self.start} on")
        if self.buffer is None:
            return ZERO_CHUNK if self.length == CHUNK_SIZE else bytes(self.length)
        for begin, end in self.holes:
            self.buffer[begin:end] = memoryview(ZERO_CHUNK)[: end - begin]
        return self.buffer[: self.length].toreadonly()


class NbdExport:
    """The disk at the other end of *connection*, which has a timeout; *require_time* is called before each wait.

    ``size`` is in bytes. Raises ``NbdError``, ``OSError``, and the errors of *require_time*.
    """

    def __init__(self, connection: socket.socket, require_time: Callable[[], None]) -> None:
        self._connection = connection
        self._require_time = require_time
        self._wanted: dict[int, _Request] = {}
        self.size = self._shake_hands()

    def chunks(self) -> Chunks:
        """Iterate over the whole disk; where it has holes, there are ``ZERO_CHUNK`` pieces."""
        queue: deque[int] = deque()
        position = 0
        while position < self.size or queue:
            while position < self.size and len(queue) < _AHEAD:
                length = min(CHUNK_SIZE, self.size - position)
                self._wanted[position] = _Request(position, length, missing=length)
                self._connection.sendall(
                    struct.pack(">IHHQQI", _REQUEST_MAGIC, 0, _READ, position, position, length)
                )
                queue.append(position)
                position += length
            while not self._wanted[queue[0]].done:
                self._take_reply()
            yield self._wanted.pop(queue.popleft()).piece()
        self._connection.sendall(struct.pack(">IHHQQI", _REQUEST_MAGIC, 0, _DISCONNECT, 0, 0, 0))

    def _shake_hands(self) -> int:
        magic, option_magic, flags = struct.unpack(">8s8sH", self._receive(18))
        if (magic, option_magic) != (_SERVER_MAGIC, _OPTION_MAGIC) or not flags & _FIXED_NEWSTYLE:
            raise NbdError("the server does not use the fixed newstyle protocol")
        self._connection.sendall(struct.pack(">I", _FIXED_NEWSTYLE | flags & _NO_ZEROES))
        self._ask(_OPTION_STRUCTURED_REPLY, b"")
        # The export without a name, and no further wishes.
        for answer in self._ask(_OPTION_GO, struct.pack(">IH", 0, 0)):
            if len(answer) >= 12 and struct.unpack_from(">H", answer)[0] == _ABOUT_EXPORT:
                return int(struct.unpack_from(">Q", answer, 2)[0])
        raise NbdError("the server does not report the size of its disk")

    def _ask(self, option: int, data: bytes) -> list[bytes]:
        """Send an option and return the answers that come before the acknowledgement."""
        self._connection.sendall(struct.pack(">8sII", _OPTION_MAGIC, option, len(data)) + data)
        answers: list[bytes] = []
        while True:
            magic, about, kind, length = struct.unpack(">QIII", self._receive(20))
            if magic != _OPTION_REPLY_MAGIC or about != option or length > _LONGEST_ANSWER:
                raise NbdError("the server answers another request")
            answer = bytes(self._receive(length))
            if kind == _ACKNOWLEDGED:
                return answers
            if kind != _INFORMATION:
                raise NbdError(f"the server refuses option {option}: {answer.decode('utf-8', 'replace')}")
            answers.append(answer)
            if len(answers) > _MOST_ANSWERS:
                raise NbdError("the server does not come to an end")

    def _take_reply(self) -> None:
        magic, flags, kind, handle, length = struct.unpack(">IHHQI", self._receive(20))
        request = self._wanted.get(handle)
        if magic != _CHUNK_MAGIC or request is None or request.done:
            raise NbdError("the server answers another request")
        if kind == _DATA and length > 8:
            (start,) = struct.unpack(">Q", self._receive(8))
            begin, end = request.part(start, length - 8)
            if request.buffer is None:
                request.buffer = lend_buffer()
            self._receive_into(request.buffer[begin:end])
        elif kind == _HOLE and length == 12:
            request.holes.append(request.part(*struct.unpack(">QI", self._receive(12))))
        elif kind >= _ERRORS and 6 <= length <= _LONGEST_ANSWER:
            answer = bytes(self._receive(length))
            code, length = struct.unpack_from(">IH", answer)
            raise NbdReadError(request.start, code, answer[6 : 6 + length].decode("utf-8", "replace"))
        elif kind != _NOTHING or length:
            raise NbdError(f"an answer of an unknown kind came ({kind}, {length} bytes)")
        request.done = bool(flags & _DONE)

    def _receive(self, length: int) -> bytearray:
        found = bytearray(length)
        self._receive_into(memoryview(found))
        return found

    def _receive_into(self, target: memoryview) -> None:
        while target:
            # Bytes may come one by one.
            self._require_time()
            try:
                count = self._connection.recv_into(target)
            except TimeoutError:
                continue
            if not count:
                raise NbdHangUpError("the server closed the connection")
            target = target[count:]
