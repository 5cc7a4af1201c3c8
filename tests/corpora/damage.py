"""Damage a file in the ways that transfers, disks and attackers do: cut it off, or change bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator

#: Bytes at each end of a file in which every second byte is changed: headers, trailers and tables are there.
_ENDS = 48


#: How much of a file is kept when it is cut off: bytes, parts of it, and bytes that are missing.
_KEPT = (1, 300, 512, 0.25, 0.5, 0.7, -4096, -512, -9, -1)


def damaged_count(flips: int) -> int:
    """Return how many copies ``damaged`` gives."""
    return len(_KEPT) + _ENDS + flips + 2


def damaged(content: bytes, *, seed: int, flips: int) -> Iterator[tuple[str, bytes]]:
    """Give copies of *content* that are cut off or have one changed byte, with a name for each.

    *flips* is the number of bytes changed between the two ends, at places that *seed* decides.
    """
    size = len(content)
    for amount in _KEPT:
        kept = int(size * amount) if isinstance(amount, float) else amount if amount > 0 else size + amount
        kept = min(max(kept, 0), size - 1)
        yield f"cut-to-{kept}", content[:kept]
    chance = random.Random(seed)
    ends = [*range(0, _ENDS, 2), *range(size - _ENDS, size, 2)]
    for place in [*ends, *(chance.randrange(size) for _ in range(flips))]:
        changed = bytearray(content)
        changed[place] ^= 1 << chance.randrange(8)
        yield f"flip-at-{place}", bytes(changed)
    start = chance.randrange(max(1, size - 4096))
    yield f"zeros-at-{start}", content[:start] + bytes(min(4096, size - start)) + content[start + 4096 :]
    yield "text-behind", content + b"<html>connection lost</html>"
