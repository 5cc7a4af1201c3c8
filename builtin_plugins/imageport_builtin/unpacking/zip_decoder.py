"""Decode the methods of zip whose libraries are not made for hostile input; runs in the decoder process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from imageport import LimitExceeded
from imageport_builtin.unpacking.faults import cut_off, damaged
from imageport_builtin.unpacking.standard_output import write_out

#: Bytes that are given to the decoder of Deflate64 at once: it returns all that becomes of them, up to 30,000 to 1.
_DEFLATE64_FEED = 1 << 10
_PPMD_FEED = 64 << 10
_PPMD_OUTPUT = 1 << 20


def decode_zip(
    *, path: str, method: str, start: int, packed: int, size: int, memory: int, subject: str
) -> None:
    """Write a member of the zip at *path* to standard output.

    *method* is DEFLATE64 or PPMD, *start* and *packed* the place and length of its data, *size* its unpacked length,
    and *memory* the most that a model may take, all in bytes. Errors are about *subject*. Raises ``VerificationFailed``
    and ``LimitExceeded``; the caller compares length and CRC.
    """
    if method == "DEFLATE64":
        _decode_deflate64(_pieces(path, start, packed, _DEFLATE64_FEED), subject)
    else:
        _decode_ppmd(_pieces(path, start, packed, _PPMD_FEED), size, memory, subject)


def _decode_deflate64(pieces: Iterator[bytes], subject: str) -> None:
    from inflate64 import Inflater

    inflater = Inflater()
    for piece in pieces:
        try:
            write_out(inflater.inflate(piece))
        except ValueError as error:
            raise damaged(subject) from error
        if inflater.eof:
            return
    raise cut_off(subject, "before the end of its compressed data")


def _decode_ppmd(pieces: Iterator[bytes], size: int, memory: int, subject: str) -> None:
    """Decode PPMd version I, revision 1; its first two bytes are parameters (APPNOTE 5.10.4)."""
    import pyppmd

    first = next(pieces, b"")
    if len(first) < 2:
        raise cut_off(subject, "before the end of its compressed data")
    parameters = int.from_bytes(first[:2], "little")
    order, megabytes, restoration = (parameters & 15) + 1, (parameters >> 4 & 255) + 1, parameters >> 12
    if megabytes << 20 > memory:
        raise LimitExceeded(
            f"{subject} was compressed with a model too large for the memory allowed here: {megabytes}.0 MiB",
            hint="raise decoder_memory of this step, or compress with a smaller model",
        )
    if order < 2 or restoration > 1:
        raise damaged(subject)
    decoder = pyppmd.Ppmd8Decoder(order, megabytes << 20, restoration)
    piece = first[2:]
    while size:
        try:
            output = decoder.decode(piece, min(size, _PPMD_OUTPUT))
        except (pyppmd.PpmdError, ValueError) as error:
            raise damaged(subject) from error
        size -= write_out(output)
        piece = b""
        if decoder.needs_input and size and not (piece := next(pieces, b"")) and not output:
            raise cut_off(subject, "before the end of its compressed data")


def _pieces(path: str, start: int, length: int, at_once: int) -> Iterator[bytes]:
    with Path(path).open("rb") as file:
        file.seek(start)
        while length and (piece := file.read(min(length, at_once))):
            length -= len(piece)
            yield piece
