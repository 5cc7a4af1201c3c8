"""Write tar archives header by header, for what no program writes or what only huge files bring about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

BLOCK = 512
END = bytes(2 * BLOCK)

USTAR, GNU, V7 = b"ustar\x0000", b"ustar  \0", b""


def padded(data: bytes) -> bytes:
    """Fill the last block with zeros."""
    return data + bytes(-len(data) % BLOCK)


def header(
    name: bytes,
    size: int | bytes,
    kind: bytes = b"0",
    *,
    magic: bytes = USTAR,
    patches: dict[int, bytes] | None = None,
) -> bytes:
    """Return a header block with the right checksum; *size* may be the whole field."""
    block = bytearray(BLOCK)
    fields = {
        0: name,
        100: b"0000644\0",
        108: b"0000000\0",
        116: b"0000000\0",
        136: b"%011o\0" % 0,
        148: b" " * 8,
    }
    fields |= {
        124: size if isinstance(size, bytes) else b"%011o\0" % size,
        156: kind,
        257: magic,
        **(patches or {}),
    }
    for place, value in fields.items():
        block[place : place + len(value)] = value
    return summed(bytes(block))


def summed(block: bytes) -> bytes:
    """Put the right checksum into a header block."""
    empty = block[:148] + b" " * 8 + block[156:]
    return block[:148] + b"%06o\0 " % sum(empty) + block[156:]


def record(keyword: bytes, value: bytes | int) -> bytes:
    """Return a record of a pax header."""
    text = b" %s=%s\n" % (keyword, value if isinstance(value, bytes) else b"%d" % value)
    length = len(text)
    while len(str(length)) + len(text) != length:
        length = len(str(length)) + len(text)
    return b"%d%s" % (length, text)


def pax(records: Iterable[tuple[bytes, bytes | int]], kind: bytes = b"x") -> bytes:
    """Return a pax header, which has more facts about the next member."""
    text = b"".join(record(*each) for each in records)
    return header(b"PaxHeaders/x", len(text), kind) + padded(text)


def member(name: bytes, data: bytes, kind: bytes = b"0", *, magic: bytes = USTAR) -> bytes:
    """Return a member with its contents."""
    return header(name, len(data), kind, magic=magic) + padded(data)


def long_name(name: bytes, kind: bytes = b"L") -> bytes:
    """Return the header in which GNU tar has a name of more than 100 bytes."""
    return member(b"././@LongLink", name + b"\0", kind, magic=GNU)


def stored_map(parts: Sequence[tuple[int, int]]) -> bytes:
    """Return the map that begins the contents of a sparse file in version 1.0."""
    numbers = [len(parts), *(number for part in parts for number in part)]
    return padded(b"".join(b"%d\n" % number for number in numbers))


def sparse_records(size: int) -> list[tuple[bytes, bytes | int]]:
    """Return the records of a sparse file of *size* bytes in version 1.0."""
    return [
        (b"GNU.sparse.major", 1),
        (b"GNU.sparse.minor", 0),
        (b"GNU.sparse.name", b"disk.raw"),
        (b"GNU.sparse.realsize", size),
    ]


def sparse(size: int, parts: Sequence[tuple[int, int]], data: bytes) -> bytes:
    """Return a sparse file in version 1.0 whose stored parts are *data*."""
    return pax(sparse_records(size)) + member(b"GNUSparseFile.1/disk.raw", stored_map(parts) + data)


def old_sparse(size: int, parts: Sequence[tuple[int, int]], data: bytes) -> bytes:
    """Return a sparse file in the old GNU format."""
    entries = [b"%011o\0%011o\0" % part for part in parts]
    more = b"\1" if len(entries) > 4 else b"\0"
    patches = {386: b"".join(entries[:4]), 482: more, 483: b"%011o\0" % size}
    blocks = [header(b"disk.raw", len(data), b"S", magic=GNU, patches=patches)]
    for start in range(4, len(entries), 21):
        more = b"\1" if len(entries) > start + 21 else b"\0"
        blocks.append(b"".join(entries[start : start + 21]).ljust(504, b"\0") + more.ljust(8, b"\0"))
    return b"".join(blocks) + padded(data)
