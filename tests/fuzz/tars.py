"""Fuzz the reader of tar against GNU tar and bsdtar."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path

from tests import tar_writer as tar
from tests.fuzz.case import Case, Outcome, run
from tests.fuzz.contents import Pool, content, packed, written
from tests.fuzz.mutation import mutated
from tests.fuzz.unpacking import unpack

_WRITERS = (
    *(("tar", f"--format={form}") for form in ("v7", "oldgnu", "gnu", "ustar", "posix")),
    ("tar", "--sparse", "--format=gnu"),
    *(
        ("tar", "--sparse", "--format=posix", f"--sparse-version={version}")
        for version in ("0.0", "0.1", "1.0")
    ),
    *(("bsdtar", "--format", form) for form in ("v7tar", "ustar", "gnutar", "paxr")),
)
_KINDS = b"\0001234567ADEIKLMNSVXgxZ"
_NUMBERS = (0, 1, 3, 5, 511, 512, 513, 1000, 1024, 1536, 4096, 8192, (1 << 33) + 1, (1 << 63) - 1, 1 << 63)
_KEYWORDS = (
    b"path",
    b"size",
    b"mtime",
    b"comment",
    b"SCHILY.realsize",
    *(
        b"GNU.sparse." + key
        for key in (b"major", b"minor", b"name", b"realsize", b"size", b"numblocks", b"map")
    ),
    b"GNU.sparse.offset",
    b"GNU.sparse.numbytes",
)
_MAGICS = (tar.USTAR, tar.GNU, tar.V7, b"ustar\0\0\0", b"ustar  ", b"ustar 00")


class Tars:
    """Archives of the usual programs, of hand-made headers, and damaged ones of both."""

    name = "tar"

    def __init__(self, work: Path) -> None:
        """Use the folder *work* for unpacking and packing."""
        self._unpacking = work / "unpacking"
        self._packing = work / "packing"
        for folder in (self._unpacking, self._packing):
            folder.mkdir()
        self._pool = Pool(60, self._of_a_program)

    def make(self, chance: random.Random) -> Case:
        kind = chance.random()
        if kind < 0.15:
            return self._pool.pick(chance)
        if kind < 0.25:
            return _sparse(chance)
        if kind < 0.65:
            return Case(_wild(chance))
        data = (self._pool.pick(chance) if chance.random() < 0.2 else _sparse(chance)).data
        return Case(_repaired(mutated(chance, data)) if chance.random() < 0.7 else mutated(chance, data))

    def ours(self, case: Case) -> Outcome:
        return unpack(case.data, self._unpacking)

    def references(self, case: Case, folder: Path) -> Iterator[tuple[str, Outcome]]:
        (folder / "case.tar").write_bytes(case.data)
        yield "GNU tar", run(["tar", "-xOf", "case.tar"], folder)
        yield "bsdtar", run(["bsdtar", "-xOf", "case.tar"], folder, complaints=True)

    def justified(self, case: Case, program: str, outcome: Outcome) -> bool:
        reason = outcome.reason
        if program == "GNU tar":
            # bsdtar records the size of the whole sparse file, which GNU tar takes for that of what is stored.
            whole = re.findall(rb" size=(\d+)\n", case.data)
            real = re.findall(rb" GNU\.sparse\.realsize=(\d+)\n", case.data)
            if set(whole) & set(real):
                return True
            # What is about dates, owners and the like does not matter here.
            return outcome.content is None and bool(_ATTRIBUTES.search(reason))
        if "can't be converted" in outcome.reason:
            # Names that are not UTF-8 do not matter here.
            return True
        # bsdtar prints folders of a size as zeros, and those of a backup with what is in them.
        folders = re.compile(rb"^.{156}[5D1]", re.DOTALL)
        blocks = [case.data[start : start + 512] for start in range(0, len(case.data), 512)]
        return any(folders.match(block) for block in blocks)

    def _of_a_program(self, chance: random.Random) -> Case:
        disk = content(chance)
        if chance.random() < 0.5:
            disk += bytes(chance.choice((4096, 8192, 40960))) + content(chance)
        written(self._packing / "disk.raw", disk)
        # The dates of reading and of changes differ each time; bsdtar leaves them out of its restricted pax format.
        writer = [*chance.choice(_WRITERS)]
        if "--format=posix" in writer:
            writer.append("--pax-option=delete=atime,delete=ctime")
        command = [*writer, "-cf", "-", "disk.raw"]
        return Case(_same_each_time(packed(command, self._packing)), disk)


_ATTRIBUTES = re.compile(
    "time stamp|invalid mtime|header mtime|mode_t|uid_t|gid_t|time_t|major_t|minor_t|implausibly old"
)


def _sparse(chance: random.Random) -> Case:
    """Return a sparse file in a format of which the programs write few variants."""
    parts: list[tuple[int, int]] = []
    disk = data = b""
    for _ in range(chance.choice((0, 1, 2, 5, 30))):
        hole = chance.choice((0, 0, 512, 700, 4096))
        part = chance.randbytes(chance.choice((0, 512, 512, 1024)))
        disk += bytes(hole)
        parts.append((len(disk), len(part)))
        disk += part
        data += part
    rest = chance.randbytes(chance.choice((0, 1, 300)))
    parts.append((len(disk), len(rest)))
    disk, data = disk + rest, data + rest
    if chance.random() < 0.5:
        return Case(tar.old_sparse(len(disk), parts, data) + tar.END, disk)
    stored = tar.stored_map(parts) + data
    records = tar.sparse_records(len(disk))
    size = chance.choice((len(stored), 0))
    if not size or chance.random() < 0.3:
        records.insert(chance.randrange(len(records) + 1), (b"size", len(stored)))
    header = tar.header(b"GNUSparseFile.1/disk.raw", size)
    return Case(tar.pax(records) + header + tar.padded(stored) + tar.END, disk)


def _wild(chance: random.Random) -> bytes:
    """Return blocks with right checksums, and little else that is sure to be right."""
    blocks = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if chance.random() < 0.5:
            blocks.append(_records(chance))
        data = content(chance)
        if chance.random() < 0.3:
            data = _map(chance) + data
        size = len(data) if chance.random() < 0.7 else min(chance.choice(_NUMBERS), 8**11 - 1)
        kind = b"0" if chance.random() < 0.6 else bytes([chance.choice(_KINDS)])
        magic = chance.choice(_MAGICS)
        field = chance.choice(
            (size, size, size, b"\x80" + size.to_bytes(11, "big"), b"%12o" % size, b"%o\0 " % size)
        )
        patches = {chance.randrange(512): chance.randbytes(2)} if chance.random() < 0.2 else {}
        if kind == b"S" and chance.random() < 0.8:
            patches = {
                386: b"".join(b"%011o\0" % number for number in _pairs(chance, 4)),
                483: b"%011o\0" % 4096,
            }
        name = chance.choice((b"disk.raw", b"disk.raw", b"d/disk.raw", b"disk/", b"n" * 100))
        blocks.append(tar.header(name, field, kind, magic=magic, patches=patches) + tar.padded(data))
    end = chance.choice((tar.END, tar.END, tar.END, bytes(512), b"", bytes(10_240), bytes(512) + blocks[0]))
    return b"".join(blocks) + end


def _records(chance: random.Random) -> bytes:
    if chance.random() < 0.5:
        records = tar.sparse_records(chance.choice(_NUMBERS[:12]))
    else:
        records = [(chance.choice(_KEYWORDS), _value(chance)) for _ in range(chance.randint(0, 5))]
    if chance.random() < 0.5:
        records.append((chance.choice(_KEYWORDS), _value(chance)))
    if chance.random() < 0.3:
        chance.shuffle(records)
    return tar.pax(records, chance.choice((b"x", b"x", b"x", b"X", b"g")))


def _value(chance: random.Random) -> bytes | int:
    if chance.random() < 0.7:
        return chance.choice(_NUMBERS)
    numbers = b",".join(b"%d" % number for number in _pairs(chance, 3))
    return chance.choice((b"", b"-1", b"+5", b"007", b"5 ", b"disk", b"disk/", b"a\0b", b"1.5", numbers))


def _pairs(chance: random.Random, most: int) -> list[int]:
    if chance.random() < 0.2:
        return [chance.choice(_NUMBERS[:12]) for _ in range(2 * chance.randint(0, most))]
    numbers: list[int] = []
    end = 0
    for _ in range(chance.randint(1, most)):
        start, length = end + chance.choice((0, 512, 1000)), chance.choice((0, 512, 512, 1024))
        numbers += [start, length]
        end = start + length
    return [*numbers[: 2 * most - 2], 4096, 0]


def _map(chance: random.Random) -> bytes:
    numbers = _pairs(chance, 6)
    count = len(numbers) // 2 if chance.random() < 0.8 else chance.choice(_NUMBERS)
    return tar.padded(b"\n".join(b"%d" % number for number in [count, *numbers]) + b"\n")


def _same_each_time(data: bytes) -> bytes:
    """Take the number of the process out of an archive."""
    blocks = [data[start : start + 512] for start in range(0, len(data), 512)]
    for number, block in enumerate(blocks):
        if found := re.match(rb"(\./GNUSparseFile\.)\d+(/disk\.raw)\0", block):
            blocks[number] = tar.summed((found[1] + b"0" + found[2]).ljust(100, b"\0") + block[100:])
    return b"".join(blocks)


def _repaired(data: bytes) -> bytes:
    """Give every block that looks like a header the right checksum."""
    blocks = [data[start : start + 512] for start in range(0, len(data), 512)]
    return b"".join(tar.summed(block) if _HEADER.match(block) else block for block in blocks)


_HEADER = re.compile(rb"[^\0].{99}[0-7 ]{6}.{149}(ustar|\0{5}).{250}", re.DOTALL)
