"""The decoder process: unpack one member of a 7z or LHA archive to standard output.

Started by ``isolation`` with three arguments: the format, the memory for a dictionary in bytes, and the task
in JSON. A failure is told in JSON on standard error.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from typing import Any

from imageport import ImageportError, LimitExceeded, TransformFailed
from imageport_builtin.unpacking.lha_header import LhaEntry
from imageport_builtin.unpacking.members import Member, only_image, printable

#: Memory beside the dictionary: Python, the libraries, and pieces of output, of which py7zr makes large ones.
_OVERHEAD = 256 << 20
#: All that may be written to files: the message on standard error.
_MESSAGE = 64 << 10
#: Bytes that py7zr reads at once. It hands over every piece whether or not the decoder has room for it, so
#: large pieces pile up where few bytes become many.
_FEED = 4 << 10

_DAMAGED = "fetch the image again; this copy is incomplete or damaged"


def main() -> int:
    """Do what the arguments say and return the exit status."""
    archive, memory, task = sys.argv[1:]
    _confine(int(memory) + _OVERHEAD)
    try:
        if archive == "7z":
            _unpack_seven_zip(**json.loads(task))
        else:
            _unpack_lha(**json.loads(task))
    except ImageportError as error:
        return _fail(error)
    except MemoryError:
        return _fail(
            LimitExceeded(
                f"{archive}: the archive was made with a dictionary too large for the memory allowed here",
                hint="raise decoder_memory of this step, or compress with a smaller dictionary",
            )
        )
    except Exception as error:  # noqa: BLE001 - the libraries raise anything for damaged archives
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        return _fail(TransformFailed(f"{archive}: the archive is damaged: {reason}", hint=_DAMAGED))
    return 0


def _confine(memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MESSAGE, _MESSAGE))
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _fail(error: ImageportError) -> int:
    limit = isinstance(error, LimitExceeded)
    sys.stderr.write(json.dumps({"message": error.message, "hint": error.hint, "limit": limit}))
    return 1


def _write_out(piece: bytes | bytearray) -> int:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(sys.stdout.fileno(), rest) :]
    return len(piece)


class _ShortReads(io.FileIO):
    """A file that gives at most ``most`` bytes at once, once that is set."""

    most: int | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        if self.most is not None:
            size = self.most if size is None or size < 0 else min(size, self.most)
        return super().read(size) or b""


def _unpack_seven_zip(path: str, member: str | None) -> None:
    import py7zr
    from py7zr.exceptions import PasswordRequired
    from py7zr.io import Py7zIO, WriterFactory

    class Output(Py7zIO):  # type: ignore[misc,unused-ignore]
        """Standard output, as py7zr wants it."""

        length = 0

        def write(self, s: bytes | bytearray) -> int:
            self.length += len(s)
            return _write_out(s)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def flush(self) -> None:
            pass

        def size(self) -> int:
            return self.length

    class Outputs(WriterFactory):  # type: ignore[misc,unused-ignore]
        """Gives the one output for the one member."""

        def create(self, filename: str) -> Py7zIO:
            return Output()

    encrypted = TransformFailed("7z: the archive is encrypted", hint="publish the image without a password")
    try:
        with _ShortReads(path) as file, py7zr.SevenZipFile(file) as archive:
            if archive.needs_password():
                raise encrypted
            name = only_image("7z", (_described(info) for info in archive.list()), member).name
            file.most = _FEED
            archive.extract(targets=[name], factory=Outputs())
    except PasswordRequired as error:
        raise encrypted from error


def _described(info: Any) -> Member[None]:
    if info.is_directory:
        return Member(info.filename, "folder", None)
    return Member(info.filename, "file" if info.is_file and not info.is_symlink else "other", None)


class _Extract:
    """The packed bytes of one LHA member, as lzhlib wants to read them."""

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
        return _write_out(piece)


class _Info:
    """What lzhlib asks of a member."""

    def __init__(self, decoder: str, member: LhaEntry) -> None:
        self.compress_type = decoder.encode()
        self.compress_size = member.packed
        self.file_size = member.size
        self.CRC = member.crc


def _unpack_lha(path: str, decoder: str, entry: dict[str, Any]) -> None:
    from lhafile.lhafile import lzhlib

    member = LhaEntry(**entry)
    with open(path, "rb") as file:  # noqa: PTH123 - a string came over the command line
        packed = _Extract(file, member.offset, member.packed)
        session = lzhlib.LZHDecodeSession(packed, _Output(), _Info(decoder, member))
        while not session.do_next() and session.output_pos <= member.size:
            pass
    if session.output_pos != member.size or session.crc16 != member.crc:
        raise TransformFailed(
            f"lha: {printable(member.name)} is damaged: "
            f"{member.size} bytes with CRC {member.crc:04x} were announced, "
            f"{session.output_pos} bytes with CRC {session.crc16:04x} came",
            hint=_DAMAGED,
        )


if __name__ == "__main__":
    sys.exit(main())
