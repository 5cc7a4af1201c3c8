"""Decode the one file of a 7z archive; runs in the decoder process."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from imageport import VerificationFailed
from imageport_builtin.unpacking.faults import damaged, encrypted
from imageport_builtin.unpacking.members import Member, only_image, printable
from imageport_builtin.unpacking.standard_output import write_out

#: Bytes that py7zr reads at once. It hands every piece to the decoder whether or not that has room for it, and
#: takes all that comes out: large pieces pile up where few bytes become many.
_FEED = 4 << 10


def decode_seven_zip(path: str, member: str | None) -> None:
    """Write the one file in the archive at *path*, or the one that fits the pattern *member*, to standard output.

    Raises ``VerificationFailed`` or ``UnsupportedFormat``, and anything that py7zr raises for damaged archives.
    """
    import py7zr
    from py7zr.exceptions import PasswordRequired
    from py7zr.io import Py7zIO, WriterFactory

    class Output(Py7zIO):  # type: ignore[misc,unused-ignore]
        """Standard output, as py7zr wants it."""

        length = 0

        def write(self, s: bytes | bytearray) -> int:
            self.length += len(s)
            return write_out(s)

        def read(self, size: int | None = None) -> bytes:
            return b""

        def seek(self, offset: int, whence: int = 0) -> int:
            return 0

        def flush(self) -> None:
            pass

        def size(self) -> int:
            return self.length

    class Outputs(WriterFactory):  # type: ignore[misc,unused-ignore]
        """Gives the one output to whatever is extracted."""

        def __init__(self) -> None:
            self.output = Output()

        def create(self, filename: str) -> Py7zIO:
            return self.output

    outputs = Outputs()
    try:
        with _ShortReads(path) as file, py7zr.SevenZipFile(file) as archive:
            if archive.needs_password():
                raise encrypted("7z: the archive")
            members = [_described(info) for info in archive.list()]
            info = only_image("7z", members, member).handle
            _require_inside(members)
            file.most = _FEED
            archive.extract(targets=[info.filename], factory=outputs)
    except PasswordRequired as error:
        raise encrypted("7z: the archive") from error
    if outputs.output.length != info.uncompressed:
        raise damaged(
            f"7z: {printable(info.filename)}",
            f"at its end: {info.uncompressed} bytes were announced, {outputs.output.length} came",
        )


def _require_inside(members: Iterable[Member[Any]]) -> None:
    """Raise ``VerificationFailed`` for a name that leads out of the archive: py7zr extracts nothing beside such."""
    for member in members:
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts:
            raise VerificationFailed(
                f"7z: the name {printable(member.name)} leads out of the archive",
                hint="pack the image again, under a plain name",
            )


def _described(info: Any) -> Member[Any]:
    if info.is_directory:
        return Member(info.filename, "folder", info)
    return Member(info.filename, "other" if info.is_symlink else "file", info)


class _ShortReads(io.FileIO):
    """A file that gives at most ``most`` bytes at once, once that is set."""

    most: int | None = None

    def read(self, size: int | None = -1, /) -> bytes:
        if self.most is not None:
            size = self.most if size is None or size < 0 else min(size, self.most)
        return super().read(size) or b""
