"""Small files that are packed, and real programs that pack them."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.fuzz.case import Case

#: Files get this date, so that archives are the same in each run.
_DATE = 1_700_000_000


def content(chance: random.Random) -> bytes:
    """Return what is in an archive: noise, text, zeros, up to some KiB, with sizes around those of blocks."""
    parts = []
    for _ in range(chance.randint(0, 4)):
        size = chance.choice((1, 100, 511, 512, 513, 1024, 3000, 4096))
        kind = chance.random()
        parts.append(
            chance.randbytes(size)
            if kind < 0.4
            else bytes(size)
            if kind < 0.7
            else (b"a line of text\n" * size)[:size]
        )
    return b"".join(parts)


class Pool:
    """Whole files that take a program to make: each is made once, the first time that it is picked."""

    def __init__(self, size: int, make: Callable[[random.Random], Case]) -> None:
        """Let *make* make *size* files; what it makes depends on its argument only."""
        self._size = size
        self._make = make
        self._made: dict[int, Case] = {}

    def pick(self, chance: random.Random) -> Case:
        """Return one of the files."""
        number = chance.randrange(self._size)
        if number not in self._made:
            self._made[number] = self._make(random.Random(number))
        return self._made[number]


def written(path: Path, data: bytes) -> None:
    """Write *data* to *path*, with holes where there are zeros, and with a fixed date."""
    with path.open("wb") as file:
        for start in range(0, len(data), 4096):
            if any(data[start : start + 4096]):
                file.seek(start)
                file.write(data[start : start + 4096])
        file.truncate(len(data))
    os.utime(path, (_DATE, _DATE))


def packed(command: Sequence[str], folder: Path, *, out: str = "", stdin: bytes = b"") -> bytes:
    """Return what *command* writes in *folder* to the file *out*, or to standard output."""
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, input=stdin, env=environment)
    if not out:
        return done.stdout
    made = folder / out
    data = made.read_bytes()
    made.unlink()
    return data
