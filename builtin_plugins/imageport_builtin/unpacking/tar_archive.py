"""Read tar archives as a stream, one member after the other, in little memory.

The standard library reads them too, but gives wrong bytes for sparse files (CPython issues 83869 and 136602), takes a
damaged header for the end of the archive, and has no limits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from imageport import Chunks, LimitExceeded, UnsupportedFormat, VerificationFailed
from imageport.limits import format_size
from imageport_builtin.unpacking.faults import cut_off, damaged
from imageport_builtin.unpacking.members import Member
from imageport_builtin.unpacking.tar_header import (
    BLOCK,
    DUMPED_FOLDER,
    FOLDER,
    HARD_LINK,
    LABEL,
    LONG_LINK,
    LONG_NAME,
    NEXT_VOLUME,
    PAX,
    PAX_GLOBAL,
    REGULAR,
    SPARSE,
    WITHOUT_CONTENTS,
    Damage,
    Header,
    parse_header,
)
from imageport_builtin.unpacking.tar_records import Records, check_global_records, parse_records
from imageport_builtin.unpacking.tar_sparse import Sparse, old_gnu_map, stored_map, with_holes

#: Bytes that the headers of one member may have: long names, attributes, the map of a sparse file.
HEADER_LIMIT = 32 << 20


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a member is: its header, how many bytes are stored behind it, and its map if it is sparse."""

    start: int
    stored: int
    sparse: Sparse | None


@dataclass(slots=True)
class _Further:
    """Headers before that of a member, which extend it."""

    long_name: bytes | None = None
    records: Records | None = None
    types: frozenset[bytes] = frozenset()


class TarArchive:
    """The members of the tar archive in a stream.

    Iteration yields each member; its handle is the size it unpacks to. Until the next one is asked for, ``contents``
    yields its bytes. A member whose contents are not read is skipped. After the last one, ``has_end`` is true if the
    blocks that end an archive were there; nothing else distinguishes an archive that was cut off between two members.
    All methods raise ``VerificationFailed`` for an archive that is damaged or cut off elsewhere, ``UnsupportedFormat``
    for extensions that cannot be read, and ``LimitExceeded``.
    """

    def __init__(self, chunks: Chunks, require_time: Callable[[], None]) -> None:
        """Read *chunks*; *check* is called at each header, and its error stops the reading."""
        self._stream = _Stream(chunks)
        self._require_time = require_time
        self.has_end = False
        self._place = _Place(0, 0, None)
        self._left = 0
        self._allowance = 0

    def __iter__(self) -> Iterator[Member[int]]:
        while (member := self._next()) is not None:
            yield member

    def contents(self) -> Chunks:
        """Yield the bytes of the member that came last; the holes of a sparse file are zeros."""
        sparse = self._place.sparse
        if sparse is None:
            yield from self._stored()
            return
        with self._blaming(self._place.start):
            sparse_map, taken = (sparse.map, 0) if sparse.map is not None else stored_map(self._block_of_map)
            if sparse_map.stored(sparse.size) + taken != self._place.stored:
                raise Damage("the map of the sparse file does not fit the stored data")
        yield from with_holes(sparse_map, self._stored())

    @property
    def position(self) -> int:
        """How many bytes of the archive were read."""
        return self._stream.position

    def trailing(self) -> int:
        """Read to the end of the stream and return how many bytes follow the archive and the zeros behind it."""
        count = 0
        while piece := self._stream.take(BLOCK << 10):
            count += len(piece) if count else len(bytes(piece).lstrip(b"\0"))
        return count

    def _next(self) -> Member[int] | None:
        """Read up to the header of the next member; return None at the end of the archive."""
        self._stream.skip(self._left + -self._place.stored % BLOCK)
        self._left = 0
        self._allowance = HEADER_LIMIT
        further = _Further()
        while True:
            start = self._stream.position
            block = self._stream.read(BLOCK, or_nothing=not further.types)
            self._require_time()
            if not block:
                return None
            with self._blaming(start):
                if not any(block):
                    self._read_end(further)
                    return None
                header = parse_header(block)
                if not self._read_further(header, further):
                    return self._member(start, block, header, further)

    def _read_end(self, further: _Further) -> None:
        second = self._stream.read(BLOCK, or_nothing=True)
        if further.types or any(second):
            raise Damage("it is empty")
        self.has_end = bool(second)

    def _read_further(self, header: Header, further: _Further) -> bool:
        """Read a header that is not that of a member; return False for one that is."""
        kind = b"x" if header.type in PAX else header.type
        if kind == NEXT_VOLUME:
            raise UnsupportedFormat(
                "tar: the archive is one volume of several",
                hint="unpack all volumes with 'tar --extract --multi-volume', and import the result",
            )
        if kind == LABEL:
            if header.size:
                raise Damage("a label has contents")
            return True
        if kind == b"x":
            further.records = parse_records(self._body(header))
        elif kind == PAX_GLOBAL:
            check_global_records(self._body(header))
        elif kind == LONG_NAME:
            further.long_name = self._body(header).partition(b"\0")[0]
        elif kind == LONG_LINK:
            self._body(header)
        else:
            return False
        if kind in further.types:
            raise Damage("it repeats the one before")
        if kind != PAX_GLOBAL:
            further.types |= {kind}
        return True

    def _member(self, start: int, block: bytes, header: Header, further: _Further) -> Member[int]:
        records = further.records or Records()
        if further.records and not header.is_posix:
            raise Damage("a pax header is before a header of another format")
        name = next(name for name in (records.path, further.long_name, header.name) if name is not None)
        stored = header.size if records.size is None else records.size
        sparse = records.sparse
        if header.type == SPARSE:
            sparse = self._old_sparse(block, header, records)
        elif sparse and header.type not in REGULAR:
            raise Damage("its records of a sparse file contradict its type")
        elif sparse and header.size and records.size == sparse.size:
            # bsdtar records the size of the whole file, and has that of the stored parts in the header.
            stored = header.size
        kind, stored = _kind(header.type, name, stored, with_records=further.records is not None)
        self._place = _Place(start, stored, sparse)
        self._left = stored
        size = sparse.size if sparse else stored
        return Member(name.decode(errors="replace"), kind, size)

    def _old_sparse(self, block: bytes, header: Header, records: Records) -> Sparse:
        if not header.is_gnu:
            raise UnsupportedFormat(
                "tar: the archive holds a sparse file in the format of star, which cannot be unpacked here",
                hint="unpack it with star and import the result",
            )
        if records.sparse or records.size is not None:
            raise Damage("its records of a sparse file contradict its type")
        return old_gnu_map(block, lambda: self._header_bytes(BLOCK))

    def _body(self, header: Header) -> bytes:
        """Return the data of a header that extends the next one."""
        body = self._header_bytes(header.size)
        self._stream.skip(-header.size % BLOCK)
        return body

    def _header_bytes(self, size: int) -> bytes:
        self._allowance -= size
        if self._allowance < 0:
            raise LimitExceeded(
                f"tar: the headers of a member are longer than {format_size(HEADER_LIMIT)}",
                hint="pack the image alone, without extended attributes",
            )
        return self._stream.read(size)

    def _stored(self) -> Chunks:
        while self._left:
            piece = self._stream.take(self._left)
            if not piece:
                raise self._stream.cut_off()
            self._left -= len(piece)
            yield piece

    def _block_of_map(self) -> bytes:
        if self._left < BLOCK:
            raise Damage("the map of the sparse file is longer than the stored data")
        self._left -= BLOCK
        return self._stream.read(BLOCK)

    @contextmanager
    def _blaming(self, start: int) -> Iterator[None]:
        """Name the damaged header."""
        try:
            yield
        except Damage as error:
            raise damaged(f"tar: the header at byte {start}", f"({error})") from None


def _kind(
    flag: bytes, name: bytes, stored: int, *, with_records: bool
) -> tuple[Literal["file", "folder", "other"], int]:
    """Return the type of member for *flag*, and the real number of bytes after such a header."""
    if flag == FOLDER:
        return "folder", 0
    if flag == DUMPED_FOLDER:
        return "folder", stored
    if flag == HARD_LINK:
        if stored and with_records:
            raise Damage("a link has contents")
        return "other", 0
    if flag in WITHOUT_CONTENTS:
        if stored:
            raise Damage("a link or a device has contents")
        return "other", 0
    if flag not in REGULAR and flag != SPARSE:
        return "other", stored
    if not name:
        raise Damage("it has no name")
    if not name.endswith(b"/"):
        return "file", stored
    if stored:
        raise Damage("a folder has contents")
    return "folder", 0


class _Stream:
    """A stream that is read in parts of any length; ``position`` counts the bytes that were taken."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")
        self.position = 0

    def take(self, most: int) -> memoryview:
        """Return the next bytes, at most *most*; none at the end."""
        while not self._rest:
            piece = next(self._chunks, None)
            if piece is None:
                return self._rest
            self._rest = memoryview(piece)
        part, self._rest = self._rest[:most], self._rest[most:]
        self.position += len(part)
        return part

    def read(self, size: int, *, or_nothing: bool = False) -> bytes:
        """Return exactly *size* bytes; none at the end if *or_nothing*. Raises ``VerificationFailed`` otherwise."""
        whole = bytearray()
        while len(whole) < size:
            part = self.take(size - len(whole))
            if not part:
                if or_nothing and not whole:
                    break
                raise self.cut_off()
            whole += part
        return bytes(whole)

    def skip(self, size: int) -> None:
        """Leave out *size* bytes. Raises ``VerificationFailed`` when there are fewer."""
        while size:
            part = self.take(size)
            if not part:
                raise self.cut_off()
            size -= len(part)

    def cut_off(self) -> VerificationFailed:
        """Return the error for an archive that ends here."""
        return cut_off("tar: the archive", f"after {self.position} bytes")
