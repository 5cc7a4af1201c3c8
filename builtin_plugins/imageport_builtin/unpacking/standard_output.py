"""Write bytes to standard output, all of them."""

from __future__ import annotations

import os
import sys


def write_out(piece: bytes | bytearray) -> int:
    """Write *piece* and return its length."""
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(sys.stdout.fileno(), rest) :]
    return len(piece)
