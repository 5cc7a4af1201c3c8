"""Decode gzip, xz, bzip2 and zstd as the bytes pass; nothing touches the disk."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

from imageport import Chunks, ImageData, LimitExceeded, VerificationFailed
from imageport.dataplane import CHUNK_SIZE
from imageport_builtin.unpacking.faults import cut_off, damaged, unsupported
from imageport_builtin.unpacking.job import Job, closed_after

#: Bytes given to a decoder at once, at the beginning of a frame and later. The rest after a frame is copied: large
#: pieces make tiny frames slow.
_FIRST_FEED = 4 << 10
_FEED = 256 << 10

#: Bytes that show whether another frame follows.
_MAGIC = 6


#: How a gzip member (RFC 1952), an xz stream, a bzip2 stream and a zstd frame (RFC 8878) begin.
_GZIP = b"\x1f\x8b\x08"
_XZ = b"\xfd7zXZ\x00"
_BZIP2 = b"BZh"
_ZSTD = b"\x28\xb5\x2f\xfd"
#: Frames of zstd that hold no data (RFC 8878, 3.1.2).
_SKIPPABLE = tuple(bytes([0x50 + number]) + b"\x2a\x4d\x18" for number in range(16))

#: Flags of a gzip member that no version of the format has (RFC 1952, 2.3.1).
_GZIP_RESERVED = 0xE0


class Decoder(Protocol):
    """The common interface of the decoders of bz2, lzma, zstd and isal."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Codec:
    """One compressed format: the start of its frames, their decoder, and the errors of the decoder for damaged data.

    ``is_sound`` looks at the first ``_MAGIC`` bytes of a frame for faults that the decoder ignores. Zeros may
    follow the last frame in multiples of ``padding`` bytes (0: none may), and other frames may follow the
    zeros if ``continues_after_padding``. ``unsupported`` completes "uses ..." for an error that *decoder* raises for
    whole data which it cannot read; it returns None for damage. ``command`` unpacks that.
    """

    name: str
    magics: tuple[bytes, ...]
    new_decoder: Callable[[], Decoder]
    error: type[Exception]
    is_sound: Callable[[bytes], bool] = lambda start: True
    padding: int = 0
    continues_after_padding: bool = False
    unsupported: Callable[[str], str | None] = lambda message: None
    command: str = ""

    def goes_on(self, rest: bytes) -> bool:
        """Return whether *rest* begins another frame, or would if it were not cut off."""
        return any(rest[: len(magic)] == magic[: len(rest)] for magic in self.magics)


class Feed:
    """Compressed bytes on their way to the decoders; ``taken`` counts the bytes given out."""

    def __init__(self, chunks: Chunks, require_time: Callable[[], None]) -> None:
        self._chunks = chunks
        self._require_time = require_time
        self._waiting: list[memoryview] = []
        self._most = _FIRST_FEED
        self.taken = 0

    def take(self) -> bytes:
        """Return the next bytes, nothing at the end."""
        while not self._waiting:
            piece = next(self._chunks, None)
            if piece is None:
                return b""
            if piece:
                self._waiting.append(memoryview(piece))
        view = self._waiting.pop()
        if len(view) > self._most:
            self._waiting.append(view[self._most :])
        taken = bytes(view[: self._most])
        self._most = min(2 * self._most, _FEED)
        self.taken += len(taken)
        self._require_time()
        return taken

    def give_back(self, rest: bytes) -> None:
        """Take back *rest*, the end of the taken bytes; another frame begins with it."""
        if rest:
            self._waiting.append(memoryview(rest))
        self._most = _FIRST_FEED
        self.taken -= len(rest)


def decode_frame(codec: Codec, feed: Feed, subject: str) -> Chunks:
    """Decode one frame out of *feed*; *subject* names the data in errors.

    Raises ``VerificationFailed`` when it is damaged or cut off, ``UnsupportedFormat`` when it cannot be read, and
    ``LimitExceeded`` for too much memory.
    """
    decoder = codec.new_decoder()
    start = feed.taken
    while not decoder.eof:
        data = b""
        if decoder.needs_input and not (data := feed.take()):
            raise cut_off(subject, f"after {feed.taken} bytes")
        try:
            piece = decoder.decompress(data, CHUNK_SIZE)
        except codec.error as error:
            raise _explained(codec, subject, f"between bytes {start} and {feed.taken}", error) from error
        if piece:
            yield piece
    feed.give_back(decoder.unused_data)


def decode_member(codec: Codec, feed: Feed, subject: str) -> Chunks:
    """Decode the frames of a member of an archive, which verifies the output itself."""
    yield from decode_frame(codec, feed, subject)
    while (following := _look_ahead(feed, skip_zeros=False)) and codec.goes_on(following):
        yield from decode_frame(codec, feed, subject)
    if following:
        raise damaged(subject, "behind its compressed data")


def decode_frames(codec: Codec, data: ImageData, job: Job) -> Chunks:
    """Decode all frames of *data* one after the other and read it to its end.

    Raises ``VerificationFailed`` for anything that follows the last frame, unless it is padding or *job* accepts it.
    """
    with closed_after(data.chunks()) as chunks:
        feed = Feed(chunks, job.require_time)
        subject = f"{codec.name}: the data"
        following = _look_ahead(feed, skip_zeros=False)
        while True:
            if not codec.is_sound(following):
                raise damaged(subject, f"at byte {feed.taken}: it is not a header")
            yield from decode_frame(codec, feed, subject)
            end = feed.taken
            following = _look_ahead(feed, skip_zeros=bool(codec.padding))
            zeros = feed.taken - end
            padded = not zeros or zeros % codec.padding == 0
            if not following and padded:
                return
            may_go_on = not zeros or (codec.continues_after_padding and padded)
            if not (following and may_go_on and codec.goes_on(following)):
                break
        _drain(feed)
        job.accept_trailing(codec.name, end, feed.taken - end)


def _look_ahead(feed: Feed, *, skip_zeros: bool) -> bytes:
    """Return the next bytes, which stay in *feed*, enough to recognise a frame; fewer only at the end.

    With *skip_zeros*, zeros before them are taken out of *feed*.
    """
    found = b""
    while len(found) < _MAGIC and (more := feed.take()):
        found += more
        if skip_zeros:
            found = found.lstrip(b"\0")
    feed.give_back(found)
    return found


def _drain(feed: Feed) -> None:
    while feed.take():
        pass


def _explained(
    codec: Codec, subject: str, where: str, error: Exception
) -> VerificationFailed | LimitExceeded:
    """Return the error for an exception of a decoder, whose text stays in the cause."""
    message = str(error).lower()
    if "memory" in message:
        return LimitExceeded(
            f"{subject} was compressed with a window too large for the memory allowed here",
            hint="raise decoder_memory of this step, or compress with a smaller window",
        )
    if (what := codec.unsupported(message)) is not None:
        return unsupported(subject, what, codec.command)
    return damaged(subject, where)


def gzip_codec() -> Codec:
    """Return the codec of gzip (RFC 1952); CRC and length of every member are checked."""
    from isal import igzip_lib

    def new_decoder() -> Decoder:
        decoder: Decoder = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        return decoder

    def has_known_flags(start: bytes) -> bool:
        return not any(flags & _GZIP_RESERVED for flags in start[3:4])

    error = cast("type[Exception]", igzip_lib.error)
    return Codec("gzip", (_GZIP,), new_decoder, error, is_sound=has_known_flags, padding=1)


def xz_codec(memory: int) -> Codec:
    """Return the codec of xz, whose dictionary may take *memory* bytes."""
    return Codec(
        "xz",
        (_XZ,),
        lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=memory),
        lzma.LZMAError,
        padding=4,
        continues_after_padding=True,
        unsupported=lambda message: (
            "a filter or option of a newer xz" if "unsupported options" in message else None
        ),
        command="xz -d",
    )


def lzma_codec(memory: int) -> Codec:
    """Return the codec of .lzma files, which have a length or an end marker and no checksum; for *memory* see xz."""
    return Codec(
        "lzma", (), lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=memory), lzma.LZMAError
    )


def bzip2_codec() -> Codec:
    """Return the codec of bzip2."""
    return Codec("bzip2", (_BZIP2,), bz2.BZ2Decompressor, OSError, padding=1)


def zstd_codec(memory: int) -> Codec:
    """Return the codec of zstd (RFC 8878), whose window may take *memory* bytes."""
    zstd = zstd_library()
    parameter = zstd.DecompressionParameter.window_log_max
    lowest, highest = parameter.bounds()
    window = max(lowest, min(highest, memory.bit_length() - 1))

    def new_decoder() -> Decoder:
        decoder: Decoder = zstd.ZstdDecompressor(options={parameter: window})
        return decoder

    return Codec(
        "zstd",
        (_ZSTD, *_SKIPPABLE),
        new_decoder,
        zstd.ZstdError,
        unsupported=lambda message: "a separate dictionary" if "dictionary" in message else None,
        command="zstd -d -D DICTIONARY",
    )


def zstd_library() -> Any:
    """Return the zstd module: of the standard library from Python 3.14 on, else its backport."""
    import importlib
    import sys

    return importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
