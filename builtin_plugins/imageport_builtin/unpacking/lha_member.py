"""Stream the one image out of an LHA archive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from imageport import Chunks, ImageData, UnsupportedFormat
from imageport.dataplane import CHUNK_SIZE
from imageport_builtin.unpacking.isolation import decode_elsewhere
from imageport_builtin.unpacking.job import Job, as_file, closed_after
from imageport_builtin.unpacking.lha_header import LhaEntry, read_entries
from imageport_builtin.unpacking.members import Member, only_image, printable

#: The name that lzhlib has for each method. Stored members are alike, and -lh4- is -lh5- with a smaller dictionary.
_DECODERS = {
    **dict.fromkeys(("-lh0-", "-lz4-", "-pm0-"), "-lh0-"),
    **dict.fromkeys(("-lh4-", "-lh5-"), "-lh5-"),
    "-lh6-": "-lh6-",
    "-lh7-": "-lh7-",
}
#: Other methods that lhasa unpacks.
_BY_LHASA = frozenset({"-lh1-", "-lhx-", "-lk7-", "-lz5-", "-lzs-", "-pm1-", "-pm2-"})


#: Bytes after the end: programs for CP/M and XMODEM fill the last block.
_PADDING = b"\0\x1a"

#: Bytes of a MacBinary header, in which MacLHA keeps the metadata of a Mac about a file.
_MAC_HEADER = 128


def unpack_lha(data: ImageData, job: Job) -> Chunks:
    """Yield the bytes of the one file in the LHA archive *data*; length and CRC are checked at the end.

    Raises ``UnsupportedFormat`` for methods that cannot be read, ``VerificationFailed`` for a damaged archive, and
    the errors of ``members`` unless there is exactly one image.
    """
    with as_file(data, job.ctx) as path:
        entry = only_image("lha", _members(path, job), job.member).handle
        if entry.method not in _DECODERS:
            raise _unsupported(entry)
        task = {"path": str(path), "decoder": _DECODERS[entry.method], "entry": asdict(entry)}
        yield from _refusing_mac_binary(decode_elsewhere("lha", task, job), entry)


def _members(path: Path, job: Job) -> Iterator[Member[LhaEntry]]:
    with path.open("rb") as file:
        end = 0
        for entry in read_entries(file):
            job.require_time()
            yield Member(entry.name, entry.kind, entry)
            end = entry.offset + entry.packed
        file.seek(end)
        trailing = 0
        while piece := file.read(CHUNK_SIZE):
            job.require_time()
            trailing += len(piece) if trailing else len(piece.lstrip(_PADDING))
        if trailing:
            job.accept_trailing("lha", end + 1, trailing, "archive")


def _unsupported(entry: LhaEntry) -> UnsupportedFormat:
    program = "lhasa ('lha x')" if entry.method in _BY_LHASA else "the program that made it"
    return UnsupportedFormat(
        f"lha: {printable(entry.name)} cannot be unpacked here: LHA method {entry.method} is not supported",
        hint=f"unpack it with {program} and import the result",
    )


def _refusing_mac_binary(chunks: Chunks, entry: LhaEntry) -> Chunks:
    head = b""
    with closed_after(chunks):
        for piece in chunks:
            if len(head) < _MAC_HEADER:
                head += bytes(piece[: _MAC_HEADER - len(head)])
                if _is_mac_binary(head, entry.size):
                    raise UnsupportedFormat(
                        f"lha: {printable(entry.name)} is in a MacBinary container, which is not supported here",
                        hint="unpack it with lhasa ('lha x') and import the result",
                    )
            yield piece


def _is_mac_binary(head: bytes, size: int) -> bool:
    """Return whether a file of *size* bytes that begins with *head* is a data fork and a resource fork in one."""
    if len(head) < _MAC_HEADER or head[0] or head[74] or head[82] or any(head[99:]):
        return False
    name_length = head[1]
    forks = int.from_bytes(head[83:87]) + int.from_bytes(head[87:91])
    whole = -(-(forks + _MAC_HEADER) // _MAC_HEADER) * _MAC_HEADER
    return 0 < name_length < 64 and not any(head[2 + name_length : 65]) and whole == size
