"""Change bytes as transfers, disks and attackers do."""

from __future__ import annotations

import random


def mutated(chance: random.Random, data: bytes, *, most: int = 3) -> bytes:
    """Return *data* with one to *most* changes."""
    for _ in range(chance.randint(1, most)):
        data = chance.choice(_CHANGES)(chance, data)
    return data


def flipped(chance: random.Random, data: bytes) -> bytes:
    """Change a bit, more often near the ends, where headers and tables are."""
    if not data:
        return data
    changed = bytearray(data)
    changed[_place(chance, len(data))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def overwritten(chance: random.Random, data: bytes) -> bytes:
    """Change one to eight bytes to zeros, ones or noise."""
    start = _place(chance, len(data) + 1)
    length = chance.choice((1, 1, 2, 4, 8))
    new = chance.choice((bytes(length), b"\xff" * length, chance.randbytes(length)))
    return data[:start] + new + data[start + length :]


def cut(chance: random.Random, data: bytes) -> bytes:
    """Leave out the end."""
    return data[: _place(chance, len(data) + 1)]


def gone(chance: random.Random, data: bytes) -> bytes:
    """Leave out a part."""
    start = _place(chance, len(data) + 1)
    return data[:start] + data[start + _length(chance) :]


def doubled(chance: random.Random, data: bytes) -> bytes:
    """Repeat a part."""
    start = _place(chance, len(data) + 1)
    end = start + _length(chance)
    return data[:end] + data[start:end] + data[end:]


def extended(chance: random.Random, data: bytes) -> bytes:
    """Append something."""
    return data + chance.choice(
        (b"\0", bytes(512), b"\n", chance.randbytes(7), data[:600], b"<html>lost</html>")
    )


_CHANGES = (flipped, flipped, overwritten, overwritten, cut, gone, doubled, extended)


def _length(chance: random.Random) -> int:
    return chance.choice((1, 2, 4, 16, 100, 512, 1024))


def _place(chance: random.Random, size: int) -> int:
    region = chance.random()
    if region < 0.4:
        return chance.randrange(min(size, 600))
    if region < 0.7:
        return max(0, size - 1 - chance.randrange(min(size, 200)))
    return chance.randrange(size)
