"""The codecs that only occur inside zip files: bare deflate and the header of LZMA."""

from __future__ import annotations

from typing import cast

from imageport_builtin.unpacking.faults import damaged
from imageport_builtin.unpacking.frames import Codec, Decoder

_UNKNOWN_LENGTH = b"\xff" * 8
_PROPERTIES = 5


def deflate_codec() -> Codec:
    """Return the codec of deflate without any header (RFC 1951)."""
    from isal import igzip_lib

    def new_decoder() -> Decoder:
        decoder: Decoder = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)
        return decoder

    return Codec("zip", (), new_decoder, cast("type[Exception]", igzip_lib.error))


def lzma_header(start: bytes, size: int | None) -> tuple[int, bytes]:
    """Translate the LZMA header of a zip member into that of an ``.lzma`` file.

    *start* is the first bytes of the member, *size* its uncompressed length, or None when a marker ends it.
    Returns the length of the original header and the new header. Source: PKWARE APPNOTE 5.8.8.
    """
    if len(start) < 4 + _PROPERTIES or int.from_bytes(start[2:4], "little") != _PROPERTIES:
        raise damaged("zip: the LZMA header of the member")
    length = _UNKNOWN_LENGTH if size is None else size.to_bytes(8, "little")
    return 4 + _PROPERTIES, start[4 : 4 + _PROPERTIES] + length
