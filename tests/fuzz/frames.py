"""Fuzz the readers of compressed streams against the programs that write them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from tests.fuzz.case import Case, Outcome, run
from tests.fuzz.contents import Pool, content, packed
from tests.fuzz.mutation import mutated
from tests.fuzz.unpacking import unpack

_OPTIONS = {
    "gzip": (["-n"], ["-n1"], ["-n9"]),
    "xz": (["-0"], ["-0", "--check=none"], ["-0", "--check=sha256"], ["-0", "--block-size=1000"]),
    "bzip2": (["-1"], ["-9"]),
    "zstd": (["-q1"], ["-q", "--check"], ["-q", "--no-check"], ["-q", "--long=20"], ["-q19"]),
}
_SUFFIXES = {"gzip": ".gz", "xz": ".xz", "bzip2": ".bz2", "zstd": ".zst"}


class Frames:
    """Streams of one or several frames of the format *name*, whole and damaged."""

    def __init__(self, name: str, work: Path) -> None:
        """Use the folder *work* for unpacking and packing."""
        self.name = name
        self._unpacking = work / "unpacking"
        self._packing = work / "packing"
        for folder in (self._unpacking, self._packing):
            folder.mkdir()
        self._pool = Pool(60, self._frame)

    def make(self, chance: random.Random) -> Case:
        frames, disk = [], b""
        for _ in range(chance.choice((1, 1, 2, 3))):
            part = content(chance)
            frames.append(
                packed([self.name, "-c", *chance.choice(_OPTIONS[self.name])], self._packing, stdin=part)
            )
            disk += part
            if self.name == "zstd" and chance.random() < 0.2:
                frames.append(b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello")
        if chance.random() < 0.15:
            return Case(b"".join(frames), disk)
        if chance.random() < 0.3:
            place = chance.randrange(len(frames))
            frames[place] = mutated(chance, frames[place], most=1)
            return Case(b"".join(frames))
        return Case(mutated(chance, b"".join(frames)))

    def ours(self, case: Case) -> Outcome:
        return unpack(case.data, self._unpacking)

    def references(self, case: Case, folder: Path) -> Iterator[tuple[str, Outcome]]:
        name = f"case{_SUFFIXES[self.name]}"
        (folder / name).write_bytes(case.data)
        yield self.name, run([self.name, "-dc", name], folder)

    def justified(self, case: Case, program: str, outcome: Outcome) -> bool:
        return False

    def _frame(self, chance: random.Random) -> Case:
        part = content(chance)
        command = [self.name, "-c", *chance.choice(_OPTIONS[self.name])]
        return Case(packed(command, self._packing, stdin=part), part)
