"""Decode one member of an LHA archive; runs in the decoder process."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from imageport_builtin.unpacking.faults import damaged
from imageport_builtin.unpacking.lha_header import LhaEntry
from imageport_builtin.unpacking.members import printable
from imageport_builtin.unpacking.standard_output import write_out


def decode_lha(path: str, decoder: str, entry: dict[str, Any]) -> None:
    """Write the member of the archive at *path* that *entry*, a ``LhaEntry``, describes to standard output.

    *decoder* is the method for lzhlib. Raises ``VerificationFailed`` for a wrong length or CRC, and
    anything that lzhlib raises for damaged data.
    """
    from lhafile.lhafile import lzhlib

    member = LhaEntry(**entry)
    with Path(path).open("rb") as file:
        packed = _Extract(file, member.offset, member.packed)
        session = lzhlib.LZHDecodeSession(packed, _Output(), _Info(decoder, member))
        while not session.do_next() and session.output_pos <= member.size:
            pass
    if session.output_pos != member.size or session.crc16 != member.crc:
        raise damaged(
            f"lha: {printable(member.name)}",
            f"(it should have {member.size} bytes with CRC {member.crc:04x}, and unpacks to "
            f"{session.output_pos} bytes with CRC {session.crc16:04x})",
        )


class _Extract:
    """The packed bytes of one member, as lzhlib wants to read them."""

    def __init__(self, file: io.BufferedReader, offset: int, length: int) -> None:
        file.seek(offset)
        self._file = file
        self._left = length

    def read(self, size: int) -> bytes:
        piece = self._file.read(min(size, self._left))
        self._left -= len(piece)
        return piece


class _Output:
    """Standard output, as lzhlib wants to write it."""

    def write(self, piece: bytes) -> int:
        return write_out(piece)


class _Info:
    """The interface of a member that lzhlib expects."""

    def __init__(self, decoder: str, member: LhaEntry) -> None:
        self.compress_type = decoder.encode()
        self.compress_size = member.packed
        self.file_size = member.size
        self.CRC = member.crc
