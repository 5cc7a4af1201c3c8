"""Fuzz the reader of LHA against lhasa."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Iterator
from pathlib import Path

from tests import lha_writer as lha
from tests.fuzz.case import Case, Outcome, run
from tests.fuzz.contents import Pool, content, packed, written
from tests.fuzz.mutation import mutated
from tests.fuzz.unpacking import unpack

from imageport_builtin.unpacking.lha_header import read_entries

_METHODS = (
    b"-lh0-",
    b"-lh0-",
    b"-lz4-",
    b"-pm0-",
    b"-lh5-",
    b"-lh4-",
    b"-lh6-",
    b"-lh7-",
    b"-lhd-",
    b"-lh1-",
)
_SYSTEMS = b"UMmAKHw2a J\0"
_EXTENSIONS = (0x01, 0x02, 0x39, 0x3F, 0x40, 0x41, 0x44, 0x45, 0x46, 0x50, 0x54, 0x7F, 0xCC)


class Lhas:
    """Archives of jlha, of hand-made headers at all levels, and damaged ones of both."""

    name = "lha"

    def __init__(self, work: Path) -> None:
        """Use the folder *work* for unpacking and packing."""
        self._unpacking = work / "unpacking"
        self._packing = work / "packing"
        for folder in (self._unpacking, self._packing):
            folder.mkdir()
        self._pool = Pool(12, self._of_jlha)

    def make(self, chance: random.Random) -> Case:
        kind = chance.random()
        if kind < 0.1:
            return self._pool.pick(chance)
        if kind < 0.2:
            return _stored(chance)
        if kind < 0.5:
            return Case(_wild(chance))
        whole = self._pool.pick(chance) if chance.random() < 0.3 else _stored(chance)
        data = mutated(chance, whole.data)
        return Case(_repaired(data) if chance.random() < 0.6 else data)

    def ours(self, case: Case) -> Outcome:
        return unpack(case.data, self._unpacking)

    def references(self, case: Case, folder: Path) -> Iterator[tuple[str, Outcome]]:
        (folder / "case.lzh").write_bytes(case.data)
        yield "lhasa", run(["lhasa", "-pq", "case.lzh"], folder)

    def justified(self, case: Case, program: str, outcome: Outcome) -> bool:
        # lhasa stops without an error at folders without a name, which LHa for UNIX and programs of the Amiga write.
        folders = any(entry.kind == "folder" for entry in read_entries(io.BytesIO(case.data)))
        return outcome.content == b"" and folders

    def _of_jlha(self, chance: random.Random) -> Case:
        disk = content(chance)
        written(self._packing / "disk.raw", disk)
        options = f"a{chance.choice('012')}{chance.choice(('o5', 'o6', 'o7', 'z'))}"
        return Case(packed(["jlha", options, "out.lzh", "disk.raw"], self._packing, out="out.lzh"), disk)


def _stored(chance: random.Random) -> Case:
    """Return a whole archive of a member that is only stored."""
    disk = content(chance)
    member = lha.member(
        chance.randrange(4),
        b"disk.raw",
        disk,
        method=chance.choice(_METHODS[:4]),
        folder=chance.choice((b"", b"d\xff", b"d\xffe\xff")),
        with_crc=chance.random() < 0.5,
    )
    return Case(member + chance.choice((b"\0", b"", bytes(100), b"\0\x1a\x1a")), disk)


def _wild(chance: random.Random) -> bytes:
    """Return members with headers that are right in form."""
    members = []
    for _ in range(chance.choice((1, 1, 2))):
        extensions = tuple(
            (
                chance.choice(_EXTENSIONS),
                chance.choice((b"", b"a", b"disk", b"d\xff", bytes(4), chance.randbytes(8))),
            )
            for _ in range(chance.choice((0, 0, 1, 3)))
        )
        disk = content(chance)
        if chance.random() < 0.1:
            extensions = (*extensions, (0x42, struct.pack("<QQ", len(disk), len(disk))))
        members.append(
            lha.member(
                chance.randrange(4),
                chance.choice((b"disk.raw", b"", b"D\\DISK", b"disk\0comment", b"a|b", b"d/e")),
                disk,
                packed=disk if chance.random() < 0.8 else chance.randbytes(chance.choice((0, 1, 200))),
                method=chance.choice(_METHODS),
                folder=chance.choice((b"", b"", b"d\xff", b"d")),
                system=bytes([chance.choice(_SYSTEMS)]),
                extensions=extensions,
                with_crc=chance.random() < 0.7,
            )
        )
    return b"".join(members) + chance.choice((b"\0", b"\0", b"", b"\0noise", b"noise"))


def _repaired(data: bytes) -> bytes:
    """Give the first header of level 0 or 1 its right sum."""
    if len(data) < 22 or data[20] > 1:
        return data
    end = data[0] + 2
    return data[:1] + bytes([sum(data[2:end]) & 0xFF]) + data[2:]
