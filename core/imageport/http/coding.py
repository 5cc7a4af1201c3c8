"""Content codings, which a server applies to a body while it sends it (RFC 9110, 8.4)."""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Mapping
from typing import Final

from imageport.dataplane.buffers import CHUNK_SIZE, Chunks
from imageport.dataplane.sparse import nonzero_ranges
from imageport.errors import LimitExceeded, SourceUnavailable, VerificationFailed
from imageport.limits import format_size

#: Most bytes of output, zeros not counted, for one byte of input, and the output below which no ratio is suspicious:
#: the rule for archives.
MAX_RATIO: Final = 1000
FREE_OUTPUT: Final = 256 << 20

_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WINDOW: Final = 31
#: Bytes that the decoder gets at once. It copies the rest after each member, and members can have 20 bytes.
_SLICE: Final = 16 << 10
#: Values that servers write there although they are not codings: nothing, a charset, an encoding of mails, or how the
#: file came to the server.
_NO_CODINGS: Final = frozenset(
    {
        "",
        "identity",
        "none",
        "null",
        "utf-8",
        "utf8",
        "us-ascii",
        "iso-8859-1",
        "binary",
        "7bit",
        "8bit",
        "aws-chunked",
    }
)
#: Suffixes of files that are published in a coding. Servers label such a file with the coding, and mean the file.
_SUFFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "gzip": (".gz", ".tgz", ".svgz", ".vgz", ".gzip"),
    "compress": (".z", ".taz"),
    "bzip2": (".bz2", ".tbz", ".tbz2"),
    "xz": (".xz", ".txz"),
    "zstd": (".zst", ".tzst", ".zstd"),
    "br": (".br",),
}
_HINT: Final = "use another mirror, or ask the site to send image files without Content-Encoding"


def coding_of(headers: Mapping[str, str]) -> str | None:
    """Return the content coding of a body in lower case, several joined by commas; None for a body without one.

    Names that are not codings, such as ``utf-8``, ``none`` or ``aws-chunked``, are ignored.
    """
    listed = (
        coding.strip().lower().removeprefix("x-") for coding in headers.get("Content-Encoding", "").split(",")
    )
    return ", ".join(coding for coding in listed if coding not in _NO_CODINGS) or None


def is_published_in(coding: str, filename: str | None) -> bool:
    """Return whether a file called *filename* has *coding* as published: ``disk.raw.gz`` is a gzip file itself."""
    return (filename or "").lower().endswith(_SUFFIXES.get(coding, ()) or ("\0",))


def require_known(coding: str, shown: str) -> None:
    """Raise ``SourceUnavailable`` unless bodies in *coding* can be decoded; *shown* is their url."""
    if coding != "gzip":
        raise SourceUnavailable(
            f"{shown} was sent with Content-Encoding: {coding}, although no coding was asked for; "
            "only gzip is decoded",
            hint=_HINT,
        )


def decoded(chunks: Chunks, shown: str) -> Chunks:
    """Undo the coding gzip of *chunks*, which come from the url *shown*; other bytes than gzip data pass unchanged.

    Raises ``VerificationFailed`` when the data is damaged, ends early or goes on with anything but zeros, and
    ``LimitExceeded`` when it expands beyond ``MAX_RATIO``.
    """
    head = b""
    for piece in chunks:
        head += piece
        if len(head) >= len(_GZIP_MAGIC):
            break
    if not head.startswith(_GZIP_MAGIC):
        yield head
        yield from chunks
        return
    stream = _GzipStream(shown)
    for piece in itertools.chain([head], chunks):
        view = memoryview(piece)
        for start in range(0, len(view), _SLICE):
            yield from stream.feed(view[start : start + _SLICE])
    stream.finish()


class _GzipStream:
    """The members of one gzip body (RFC 1952), one after another."""

    def __init__(self, shown: str) -> None:
        self._shown = shown
        self._member: zlib._Decompress | None = zlib.decompressobj(_GZIP_WINDOW)
        self._start = b""
        self._only_zeros = False
        self._taken = 0
        self._substance = 0

    def feed(self, piece: memoryview) -> Chunks:
        """Take the next bytes and return them decoded, in pieces of at most ``CHUNK_SIZE``."""
        self._taken += len(piece)
        rest = self._start + piece
        self._start = b""
        while rest:
            if self._member is None:
                if not self._begins_member(rest):
                    return
                self._member = zlib.decompressobj(_GZIP_WINDOW)
            try:
                output = self._member.decompress(rest, CHUNK_SIZE)
            except zlib.error:
                raise self._damaged("is damaged") from None
            if output:
                self._check_ratio(output)
                yield output
            if self._member.eof:
                rest, self._member = self._member.unused_data, None
            else:
                rest = self._member.unconsumed_tail

    def finish(self) -> None:
        """Raise ``VerificationFailed`` unless the last member is complete."""
        if self._member is not None or self._start:
            raise self._damaged("ends early")

    def _begins_member(self, rest: bytes) -> bool:
        """Return whether *rest*, after the end of a member, begins another one; zeros may follow the last."""
        if rest.count(0) == len(rest):
            self._only_zeros = True
            return False
        if len(rest) < len(_GZIP_MAGIC) and _GZIP_MAGIC.startswith(rest) and not self._only_zeros:
            self._start = rest
            return False
        if self._only_zeros or not rest.startswith(_GZIP_MAGIC):
            raise self._damaged("goes on with other data after its end")
        return True

    def _check_ratio(self, output: bytes) -> None:
        self._substance += sum(stop - start for start, stop in nonzero_ranges(output))
        if self._substance > FREE_OUTPUT and self._substance > MAX_RATIO * self._taken:
            raise LimitExceeded(
                f"{self._shown} was sent with Content-Encoding: gzip and expands more than {MAX_RATIO} to 1: "
                f"{format_size(self._substance)} without zeros, out of {format_size(self._taken)}",
                hint=f"it looks like a decompression bomb; {_HINT}",
            )

    def _damaged(self, how: str) -> VerificationFailed:
        return VerificationFailed(
            f"{self._shown} was sent with Content-Encoding: gzip, and the gzip data {how}",
            hint=_HINT,
            retry=True,
        )
