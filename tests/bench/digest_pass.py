"""Compute md5 and sha512 of a file side by side, each in a thread that reads the file itself."""

from __future__ import annotations

import hashlib
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PIECE = 4 << 20


def digest(name: str, path: Path) -> str:
    """Return the digest called *name* of a file."""
    found = hashlib.new(name, usedforsecurity=False)
    buffer = memoryview(bytearray(PIECE))
    with path.open("rb", buffering=0) as file:
        while length := file.readinto(buffer):
            found.update(buffer[:length])
    return found.hexdigest()


def digests(path: Path) -> list[str]:
    """Return md5 and sha512."""
    names = ("md5", "sha512")
    with ThreadPoolExecutor(len(names)) as threads:
        return list(threads.map(lambda name: digest(name, path), names))


if __name__ == "__main__":
    print(*digests(Path(sys.argv[1])), sep="\n")
