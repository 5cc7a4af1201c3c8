"""Bytes without a pattern that are the same in every run.

Two bytes decide whether a disk has a boot record, or a file is packed with gzip. Bytes of chance have them once in some
hundred runs of all tests.
"""

from __future__ import annotations

import random


def noise(length: int, seed: int | str = 0) -> bytes:
    """Return *length* bytes without a pattern; those of another *seed* have nothing in common with them."""
    return random.Random(f"{seed} {length}").randbytes(length)
