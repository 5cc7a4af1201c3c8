"""Documents of OpenPGP (RFC 9580): clear-signed text, ASCII armor and packets.

These few lines are taken apart here, and strictly, so that exactly the verified text is used: a reader that skips text
before, between or after signed blocks would let a list with a good signature contain unsigned text.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Final

_MESSAGE: Final = b"-----BEGIN PGP SIGNED MESSAGE-----"
_BEGIN: Final = b"-----BEGIN PGP SIGNATURE-----"
_END: Final = b"-----END PGP SIGNATURE-----"

#: The only header that a clear-signed document may have (section 7.1).
_HASH: Final = re.compile(rb"Hash:[A-Za-z0-9, -]*")

_SIGNATURE_PACKET: Final = 2
MOST_SIGNATURES: Final = 16


def is_clear_signed(document: bytes) -> bool:
    """Return whether *document* contains its signature, and not only the first line of that form."""
    return any(line.rstrip() == _MESSAGE for line in document.split(b"\n"))


def take_apart(document: bytes) -> tuple[bytes, bytes]:
    """Return the signed text of a clear-signed *document*, and its armored signatures.

    The text is without escapes, and without white space at the ends of lines, which no signature covers. Raises
    ``ValueError`` unless the document is exactly one signed block (section 7).
    """
    lines = [line.rstrip(b" \t\r") for line in document.split(b"\n")]
    if lines[0] != _MESSAGE:
        raise ValueError("there is text before the signed block")
    if lines.count(_MESSAGE) > 1 or lines.count(_BEGIN) > 1 or lines.count(_END) > 1:
        raise ValueError("it has more than one signed block")
    if _BEGIN not in lines or _END not in lines:
        raise ValueError("its signature is missing or cut off")
    begin, end = lines.index(_BEGIN), lines.index(_END)
    if any(lines[end + 1 :]):
        raise ValueError("there is text after the signed block")
    head = lines.index(b"") if b"" in lines[:begin] else begin
    if not all(_HASH.fullmatch(line) for line in lines[1:head]):
        raise ValueError("its headers are not those of a signed block")
    text = lines[head + 1 : begin]
    if any(line.startswith(b"-") and not line.startswith(b"- ") for line in text):
        raise ValueError("a line of it begins with a dash that is not escaped")
    return b"\n".join(line.removeprefix(b"- ") for line in text), b"\n".join(lines[begin : end + 1])


def signature_packets(document: bytes) -> list[bytes]:
    """Return the signatures in *document*, armored or binary, as a packet each.

    Raises ``ValueError`` when there is anything else in it, which is not unpacked and examined.
    """
    packets = list(_packets(_binary(document)))
    if not packets:
        raise ValueError("there is no signature in it")
    if len(packets) > MOST_SIGNATURES:
        raise ValueError(f"there are more than {MOST_SIGNATURES} signatures in it")
    return packets


def _binary(document: bytes) -> bytes:
    if not document.lstrip().startswith(b"-----"):
        return document
    lines = [line.strip() for line in document.strip().split(b"\n")]
    if lines[0] != _BEGIN or lines[-1] != _END or b"" not in lines:
        raise ValueError("it is not one armored signature")
    body = lines[lines.index(b"") + 1 : -1]
    if body and body[-1].startswith(b"="):
        body.pop()  # a checksum of the armor, which is not part of the signature
    return base64.b64decode(b"".join(body), validate=True)


def _packets(data: bytes) -> Iterator[bytes]:
    """Cut *data* into packets (section 4.2), all of which must be signatures."""
    start = 0
    while start < len(data):
        kind, body, length = _header(data, start)
        if kind != _SIGNATURE_PACKET:
            raise ValueError("it contains other data than signatures")
        end = body + length
        if end > len(data):
            raise ValueError("it is cut off")
        yield data[start:end]
        start = end


def _header(data: bytes, start: int) -> tuple[int, int, int]:
    """Return the kind of the packet at *start*, where its body begins, and the length of that."""
    first = data[start]
    if not first & 0x80:
        raise ValueError("it is not an OpenPGP signature")
    if not first & 0x40:
        octets = (1, 2, 4, 0)[first & 3]
        if not octets:
            raise ValueError("it has a packet without a length")
        return first >> 2 & 15, start + 1 + octets, _number(data, start + 1, octets)
    kind, length = first & 63, _number(data, start + 1, 1)
    if length < 192:
        return kind, start + 2, length
    if length < 224:
        return kind, start + 3, (length - 192 << 8) + _number(data, start + 2, 1) + 192
    if length < 255:
        raise ValueError("it has a packet in parts, which signatures never are")
    return kind, start + 6, _number(data, start + 2, 4)


def _number(data: bytes, start: int, octets: int) -> int:
    return int.from_bytes(data[start : start + octets], "big")
