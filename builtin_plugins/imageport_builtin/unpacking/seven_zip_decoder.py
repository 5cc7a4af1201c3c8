"""Decode the one file of a 7z archive; runs in the decoder process."""

from __future__ import annotations

import io
from typing import Any

from imageport import TransformFailed
from imageport_builtin.unpacking.members import Member, only_image, printable
from imageport_builtin.unpacking.standard_output import write_out

#: Bytes that py7zr reads at once. It hands every piece to the decoder whether or not that has room for it, and
#: takes all that comes out: large pieces pile up where few bytes become many.
_FEED = 4 << 10


def decode_seven_zip(path: str, member: str | None) -> None:
    """Write the one file in the archive at *path*, or the one that fits the pattern *member*, to standard output.

    Raises ``TransformFailed``, and whatever py7zr raises for damaged archives.
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

    encrypted = TransformFailed("7z: the archive is encrypted", hint="publish the image without a password")
    outputs = Outputs()
    try:
        with _ShortReads(path) as file, py7zr.SevenZipFile(file) as archive:
            if archive.needs_password():
                raise encrypted
            info = only_image("7z", (_described(info) for info in archive.list()), member).handle
            file.most = _FEED
            archive.extract(targets=[info.filename], factory=outputs)
    except PasswordRequired as error:
        raise encrypted from error
    if outputs.output.length != info.uncompressed:
        raise TransformFailed(
            f"7z: {printable(info.filename)} should have {info.uncompressed} bytes, "
            f"{outputs.output.length} came",
            hint="fetch the image again; this copy is incomplete or damaged",
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
