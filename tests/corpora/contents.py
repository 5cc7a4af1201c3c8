"""The disks inside generated archives and images."""

from __future__ import annotations

import random
import struct
from pathlib import Path

MIB = 1 << 20


def disk(size: int = MIB, seed: int = 7) -> bytes:
    """Return a partitioned disk of *size* bytes: a boot record, data that does not compress, text, and zeros."""
    content = bytearray(size)
    entry = struct.pack("<B3sB3sII", 0x80, b"\0\x02\0", 0x83, b"\xfe\xff\xff", 8, size // 512 - 8)
    content[446:462] = entry
    content[510:512] = b"\x55\xaa"
    third = size // 3
    content[4096:third] = random.Random(seed).randbytes(third - 4096)
    text = b"all work and no play makes a plain disk\n" * (size // 400)
    content[third : third + len(text)] = text
    content[-512:] = random.Random(seed + 1).randbytes(512)
    return bytes(content)


def write(path: Path, content: bytes) -> Path:
    """Write *content* to *path*, with holes where it has pages of zeros, and return *path*."""
    with path.open("wb") as file:
        file.truncate(len(content))
        for start in range(0, len(content), 4096):
            page = content[start : start + 4096]
            if page.strip(b"\0"):
                file.seek(start)
                file.write(page)
    return path
