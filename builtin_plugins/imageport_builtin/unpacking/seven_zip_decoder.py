"""Decode the one file of a 7z archive; runs in the decoder process."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from lzma import LZMAError
from pathlib import PurePosixPath
from typing import Any

from imageport import VerificationFailed
from imageport_builtin.unpacking.faults import damaged, encrypted, unsupported
from imageport_builtin.unpacking.members import Member, only_image, printable
from imageport_builtin.unpacking.standard_output import write_out

#: Bytes that py7zr reads at once. It hands every piece to the decoder whether or not that has room for it, and
#: takes all that comes out: large pieces pile up where few bytes become many.
_FEED = 4 << 10

#: Methods that py7zr does not have (Methods.txt of 7-Zip).
_METHODS: Mapping[bytes, str] = {
    b"\x0a": "ARM64",
    b"\x0b": "RISCV",
    b"\x02\x03\x02": "Swap2",
    b"\x02\x03\x04": "Swap4",
    b"\x03\x03\x01\x1b": "BCJ2",
    b"\x04\xf7\x11\x04": "LZ4",
    b"\x04\xf7\x11\x05": "LZ5",
    b"\x04\xf7\x11\x06": "LIZARD",
}


def decode_seven_zip(path: str, member: str | None) -> None:
    """Write the one file in the archive at *path*, or the one that fits the pattern *member*, to standard output.

    Raises ``VerificationFailed`` or ``UnsupportedFormat``, and anything that py7zr raises for damaged archives.
    """
    import py7zr
    from py7zr.exceptions import ArchiveError, PasswordRequired, UnsupportedCompressionMethodError

    output, outputs = _standard_output()
    subject = "7z: the archive"
    try:
        with _ShortReads(path) as file, py7zr.SevenZipFile(file) as archive:
            entries = archive.list()
            info = only_image("7z", [_described(entry) for entry in entries], member).handle
            subject = f"7z: {printable(info.filename)}"
            _require_inside(entries)
            file.most = _FEED
            archive.extract(targets=[info.filename], factory=outputs)
    except PasswordRequired as error:
        raise encrypted(subject) from error
    except UnsupportedCompressionMethodError as error:
        raise unsupported(subject, _method_of(error.data), "7z x") from error
    except (ArchiveError, LZMAError, EOFError, ValueError) as error:
        raise damaged(subject) from error
    if output.size() != info.uncompressed:
        raise damaged(subject, f"at its end: {info.uncompressed} bytes were announced, {output.size()} came")


def _standard_output() -> tuple[Any, Any]:
    """Return standard output as py7zr needs it, and the factory that gives it to the extracted file."""
    from py7zr.io import Py7zIO, WriterFactory

    class Output(Py7zIO):  # type: ignore[misc,unused-ignore]
        """Writes to standard output and counts."""

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
        """Returns one output for every file."""

        def create(self, filename: str) -> Py7zIO:
            return output

    output = Output()
    return output, Outputs()


def _method_of(data: object) -> str:
    """Return the name of the method that py7zr complains about with *data*: its identifier, a coder, or coders."""
    identifier = data.get("method") if isinstance(data, dict) else data
    name = _METHODS.get(identifier) if isinstance(identifier, bytes) else None
    return f"the 7z method {name}" if name else "a 7z method, or several in a row,"


def _require_inside(entries: Iterable[Any]) -> None:
    """Raise ``VerificationFailed`` for a name that leads out of the archive: py7zr extracts nothing beside such."""
    for entry in entries:
        path = PurePosixPath(entry.filename)
        if path.is_absolute() or ".." in path.parts:
            raise VerificationFailed(
                f"7z: the name {printable(entry.filename)} leads out of the archive",
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
