"""Decode gzip, xz, bzip2 and zstd as the bytes pass; nothing touches the disk."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from imageport import CHUNK_SIZE, Chunks, ImageData, LimitExceeded, TransformFailed
from imageport_builtin.unpacking.job import Job, closed_after
from imageport_builtin.unpacking.sniff import BZIP2, GZIP, SKIPPABLE, XZ, ZSTD

#: Bytes given to a decoder at once. What a frame leaves over is copied: large pieces make tiny frames slow.
_FEED = 256 << 10

#: Bytes that show whether another frame follows.
_MAGIC = 6


class Decoder(Protocol):
    """What the decoders of bz2, lzma, zstd and isal have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Codec:
    """One compressed format: how frames begin, what decodes one, and what that raises for damaged data."""

    name: str
    magics: tuple[bytes, ...]
    new_decoder: Callable[[], Decoder]
    error: type[Exception]

    def goes_on(self, rest: bytes) -> bool:
        """Tell whether *rest* begins another frame, or would if it were not cut off."""
        return any(rest[: len(magic)] == magic[: len(rest)] for magic in self.magics)


class Feed:
    """Compressed bytes on their way to the decoders; ``taken`` counts what was given out."""

    def __init__(self, chunks: Chunks) -> None:
        self._chunks = chunks
        self._piece = memoryview(b"")
        self._rest = b""
        self.taken = 0

    def take(self) -> bytes:
        """Return the next bytes, nothing at the end."""
        rest, self._rest = self._rest, b""
        if not rest:
            while not self._piece:
                piece = next(self._chunks, None)
                if piece is None:
                    return b""
                self._piece = memoryview(piece)
            rest, self._piece = bytes(self._piece[:_FEED]), self._piece[_FEED:]
        self.taken += len(rest)
        return rest

    def give_back(self, rest: bytes) -> None:
        """Take back what the last decoder left over."""
        self._rest = rest
        self.taken -= len(rest)


def decode_frame(codec: Codec, feed: Feed) -> Chunks:
    """Decode one frame out of *feed*.

    Raises ``TransformFailed`` when it is damaged or incomplete, ``LimitExceeded`` for too much memory.
    """
    decoder = codec.new_decoder()
    while not decoder.eof:
        data = b""
        if decoder.needs_input and not (data := feed.take()):
            raise TransformFailed(
                f"{codec.name}: the data ends too early, after {feed.taken} bytes",
                hint="fetch the image again; this copy is incomplete",
            )
        try:
            piece = decoder.decompress(data, CHUNK_SIZE)
        except codec.error as error:
            raise _told(codec, feed, error) from error
        if piece:
            yield piece
    feed.give_back(decoder.unused_data)


def decode_frames(codec: Codec, data: ImageData, job: Job) -> Chunks:
    """Decode all frames of *data* one after the other and read it to its end.

    Zeros between and after frames are padding. Anything else after a frame is ignored with a warning.
    """
    with closed_after(data.chunks()) as chunks:
        feed = Feed(chunks)
        while True:
            yield from decode_frame(codec, feed)
            following = _skip_padding(feed)
            if not following:
                return
            feed.give_back(following)
            if not codec.goes_on(following):
                break
        job.ctx.log.warning("%s: ignored %d bytes after the compressed data", codec.name, _drain(feed))


def _skip_padding(feed: Feed) -> bytes:
    """Return the next bytes that are not padding, enough to recognise a frame; nothing at the end."""
    found = b""
    while len(found) < _MAGIC and (more := feed.take()):
        found = (found + more).lstrip(b"\0")
    return found


def _drain(feed: Feed) -> int:
    count = 0
    while piece := feed.take():
        count += len(piece)
    return count


def _told(codec: Codec, feed: Feed, error: Exception) -> TransformFailed | LimitExceeded:
    """Say in our words what a decoder found wrong."""
    if "memory" in str(error).lower():
        return LimitExceeded(
            f"{codec.name}: the archive was made with a window too large for the memory allowed here",
            hint="raise decoder_memory of this step, or compress with a smaller window",
        )
    return TransformFailed(
        f"{codec.name}: the data is damaged somewhere before byte {feed.taken}: {error}",
        hint="fetch the image again and compare its checksum with the publisher's",
    )


def gzip_codec() -> Codec:
    """Return the codec of gzip (RFC 1952); CRC and length of every member are checked."""
    from isal import igzip_lib

    def new_decoder() -> Decoder:
        decoder: Decoder = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        return decoder

    return Codec("gzip", (GZIP,), new_decoder, cast("type[Exception]", igzip_lib.error))


def xz_codec(memory: int) -> Codec:
    """Return the codec of xz, whose dictionary may take *memory* bytes."""
    return Codec("xz", (XZ,), lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=memory), lzma.LZMAError)


def bzip2_codec() -> Codec:
    """Return the codec of bzip2."""
    return Codec("bzip2", (BZIP2,), bz2.BZ2Decompressor, OSError)


def zstd_codec(memory: int) -> Codec:
    """Return the codec of zstd (RFC 8878), whose window may take *memory* bytes."""
    zstd = zstd_library()
    parameter = zstd.DecompressionParameter.window_log_max
    lowest, highest = parameter.bounds()
    window = max(lowest, min(highest, memory.bit_length() - 1))

    def new_decoder() -> Decoder:
        decoder: Decoder = zstd.ZstdDecompressor(options={parameter: window})
        return decoder

    return Codec("zstd", (ZSTD, *SKIPPABLE), new_decoder, zstd.ZstdError)


def zstd_library() -> Any:
    """Return the zstd module: of the standard library from Python 3.14 on, else its backport."""
    import importlib
    import sys

    return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
