"""Take the one image out of a tar stream; nothing touches the disk."""

from __future__ import annotations

import io
import tarfile
from typing import cast

from imageport import CHUNK_SIZE, Chunks, ImageData, TransformFailed
from imageport_builtin.unpacking.job import Job, closed_after
from imageport_builtin.unpacking.members import (
    Member,
    check_count,
    may_be_image,
    no_image,
    printable,
    several_images,
)

#: Bytes that the headers of one member may have: long names, attributes and the map of a sparse file.
_HEADER_LIMIT = 8 << 20

#: Letters of a name that are kept for messages; there may be thousands.
_LONGEST_NAME = 100

_DAMAGED = "fetch the image again; this copy is incomplete or damaged"


def unpack_tar(data: ImageData, job: Job) -> Chunks:
    """Yield the bytes of the one file in the tar archive *data*, and read the archive to its end.

    ustar, pax and GNU archives, GNU sparse files included. Raises ``TransformFailed``.
    """
    with closed_after(data.chunks()) as chunks:
        stream = _Forward(chunks)
        try:
            yield from _only_file(stream, job)
        except (tarfile.TarError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
            # tarfile lets some of these out for hostile headers.
            raise TransformFailed(f"tar: the archive is damaged: {error}", hint=_DAMAGED) from error
        _finish(stream, job)


def _only_file(stream: _Forward, job: Job) -> Chunks:
    archive = tarfile.TarFile(fileobj=cast("io.BufferedReader", stream))
    names: list[str] = []
    image: str | None = None
    count = 0
    while (info := _next(archive, stream)) is not None:
        count += 1
        check_count("tar", count)
        member = _described(info)
        if member.kind != "folder":
            names.append(member.name[:_LONGEST_NAME])
        if not may_be_image("tar", member, job.member):
            continue
        if image is not None:
            raise several_images("tar", [image, member.name], "more than one file", job.member)
        image = member.name
        yield from _contents(archive, info)
    if image is None:
        raise no_image("tar", names, job.member)


def _next(archive: tarfile.TarFile, stream: _Forward) -> tarfile.TarInfo | None:
    """Read the next header, and let tarfile forget the ones before."""
    archive.members = []  # type: ignore[attr-defined]
    stream.allowance = _HEADER_LIMIT
    info = archive.next()
    stream.allowance = None
    return info


def _described(info: tarfile.TarInfo) -> Member[None]:
    if info.isdir():
        return Member(info.name, "folder", None)
    return Member(info.name, "file" if info.isreg() else "other", None)


def _contents(archive: tarfile.TarFile, info: tarfile.TarInfo) -> Chunks:
    _check_sizes(info)
    file = archive.extractfile(info)
    assert file is not None  # noqa: S101 - only links and devices have none
    while piece := file.read(CHUNK_SIZE):
        yield piece


def _check_sizes(info: tarfile.TarInfo) -> None:
    """Refuse negative sizes, and the map of a sparse file that goes backwards: a stream cannot."""
    if info.size < 0:
        raise TransformFailed(f"tar: {printable(info.name)} has {info.size} bytes", hint=_DAMAGED)
    position = 0
    for offset, size in cast("list[tuple[int, int]]", info.sparse or []):
        if size == 0:
            continue  # fills up the table
        if offset < position or size < 0 or offset + size > info.size:
            raise TransformFailed(
                f"tar: the map of the sparse file {printable(info.name)} is damaged", hint=_DAMAGED
            )
        position = offset + size


def _finish(stream: _Forward, job: Job) -> None:
    """Check that the archive ended as it should, and read what follows."""
    if stream.last_block.strip(b"\0"):
        raise TransformFailed(
            f"tar: a header is damaged, {stream.tell()} bytes from the start", hint=_DAMAGED
        )
    if not stream.last_block:
        job.ctx.log.warning("tar: the blocks that end an archive are missing")
    ignored = 0
    while piece := stream.read(CHUNK_SIZE):
        ignored += len(piece.strip(b"\0"))
    if ignored:
        job.ctx.log.warning("tar: ignored %d bytes after the end of the archive", ignored)


class _Forward:
    """What tarfile needs of a file, over a stream: seeking skips ahead, and headers have a limit.

    tarfile reads headers of any length into memory; ``allowance`` is what is left for the next one, None
    while contents are read. ``last_block`` is what the last read returned.
    """

    name = ""
    mode = "rb"

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")
        self._position = 0
        self.allowance: int | None = _HEADER_LIMIT
        self.last_block = b""

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        while self._position < position and self._take(position - self._position):
            pass
        if self._position != position:
            raise tarfile.ReadError(f"the data ends at byte {self._position} or refers back")
        return position

    def read(self, size: int) -> bytes:
        if size < 0:
            raise tarfile.ReadError(f"a header has {size} bytes")
        if self.allowance is not None:
            self.allowance -= size
            if self.allowance < 0:
                raise TransformFailed(
                    f"tar: the headers of a member are longer than {_HEADER_LIMIT} bytes", hint=_DAMAGED
                )
        parts: list[memoryview] = []
        while size and (part := self._take(size)):
            parts.append(part)
            size -= len(part)
        self.last_block = b"".join(parts)
        return self.last_block

    def _take(self, size: int) -> memoryview:
        while not self._rest:
            piece = next(self._chunks, None)
            if piece is None:
                break
            self._rest = memoryview(piece)
        part, self._rest = self._rest[:size], self._rest[size:]
        self._position += len(part)
        return part
