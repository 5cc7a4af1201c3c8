"""Fuzz the reader of zip against 7z and unzip."""

from __future__ import annotations

import io
import random
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.fuzz.case import Case, Outcome, run
from tests.fuzz.contents import Pool, content, packed, written
from tests.fuzz.mutation import mutated
from tests.fuzz.unpacking import unpack

_COMMANDS = (
    *(
        ["zip", "-q", *options, "out.zip", "disk.raw"]
        for options in (["-0"], ["-1"], ["-9"], ["-Z", "bzip2"], ["-fz"])
    ),
    *(
        ["7z", "a", "-bd", "-bso0", "-tzip", f"-mm={method}", "out.zip", "disk.raw"]
        for method in ("Deflate", "Deflate64", "BZip2", "LZMA", "PPMd")
    ),
)


class Zips:
    """Archives of zip, 7z and Python, hand-made ones whose headers contradict each other, and damaged ones."""

    name = "zip"

    def __init__(self, work: Path) -> None:
        """Use the folder *work* for unpacking and packing."""
        self._unpacking = work / "unpacking"
        self._packing = work / "packing"
        for folder in (self._unpacking, self._packing):
            folder.mkdir()
        self._pool = Pool(40, self._of_a_program)

    def make(self, chance: random.Random) -> Case:
        kind = chance.random()
        if kind < 0.1:
            return self._pool.pick(chance)
        if kind < 0.2:
            return _of_python(chance)
        if kind < 0.55:
            return Case(_wild(chance))
        whole = self._pool.pick(chance) if chance.random() < 0.15 else _of_python(chance)
        return Case(mutated(chance, whole.data))

    def ours(self, case: Case) -> Outcome:
        return unpack(case.data, self._unpacking)

    def references(self, case: Case, folder: Path) -> Iterator[tuple[str, Outcome]]:
        (folder / "case.zip").write_bytes(case.data)
        yield "7z", run(["7z", "x", "-so", "-bd", "case.zip"], folder)
        yield "unzip", run(["unzip", "-p", "case.zip"], folder, warning=1)

    def justified(self, case: Case, program: str, outcome: Outcome) -> bool:
        if program == "unzip":
            # It knows neither LZMA nor PPMd, and has a separate status for that.
            return outcome.reason.startswith("status 81")
        # 7z refuses whole archives for fields that place no contents, such as versions, where unzip does not.
        is_of_folder = outcome.reason.endswith("Headers Error : d")
        return outcome.content is None and (is_of_folder or self._unzip_agrees(case))

    def _unzip_agrees(self, case: Case) -> bool:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "case.zip").write_bytes(case.data)
            return run(["unzip", "-p", "case.zip"], Path(folder), warning=1) == self.ours(case)

    def _of_a_program(self, chance: random.Random) -> Case:
        disk = content(chance)
        written(self._packing / "disk.raw", disk)
        return Case(packed(chance.choice(_COMMANDS), self._packing, out="out.zip"), disk)


def _of_python(chance: random.Random) -> Case:
    disk = content(chance)
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        info = zipfile.ZipInfo(chance.choice(("disk.raw", "d/disk.raw")))
        info.compress_type = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2))
        with archive.open(info, "w", force_zip64=chance.random() < 0.2) as member:
            member.write(disk)
        if chance.random() < 0.2:
            archive.writestr(zipfile.ZipInfo("d/"), b"")
    return Case(target.getvalue(), disk)


def _wild(chance: random.Random) -> bytes:
    """Return an archive whose local and central headers differ in a field or two."""
    disk = content(chance)
    deflate = zlib.compressobj(wbits=-15)
    method = chance.choice((0, 8))
    stored = disk if method == 0 else deflate.compress(disk) + deflate.flush()
    crc = zlib.crc32(disk)
    fields: dict[str, Any] = {
        "flags": 0,
        "method": method,
        "crc": crc,
        "stored": len(stored),
        "size": len(disk),
        "name": b"disk.raw",
    }
    local, central = dict(fields), dict(fields)
    for header in (local, central):
        while chance.random() < 0.3:
            key = chance.choice(list(fields))
            header[key] = _other(chance, fields[key])
    streamed = chance.random() < 0.3
    if streamed:
        local |= {"flags": 8, "crc": 0, "stored": 0, "size": 0}
        central["flags"] = 8
    body = b"PK\x03\x04" + _common(local) + bytes(local["name"]) + stored
    if streamed:
        body += chance.choice((b"PK\x07\x08", b"")) + struct.pack("<III", crc, len(stored), len(disk))
    before = b"" if chance.random() < 0.9 else b"stub" * 5
    body = before + body + (b"" if chance.random() < 0.9 else b"gap")
    start = len(before) if chance.random() < 0.9 else chance.choice((0, 4, 1000))
    directory = b"PK\x01\x02\x14\x03" + _common(central) + struct.pack("<HHHII", 0, 0, 0, 0, start)
    directory += bytes(central["name"])
    count = 1 if chance.random() < 0.9 else chance.choice((0, 2, 0xFFFF))
    place = len(body) if chance.random() < 0.9 else chance.choice((0, 10, 0xFFFFFFFF))
    comment = b"" if chance.random() < 0.8 else chance.choice((b"comment", b"PK\x05\x06" + bytes(18)))
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), place, len(comment))
    return body + directory + b"PK\x05\x06" + end + comment


def _common(fields: dict[str, Any]) -> bytes:
    what = struct.pack("<HHHHH", 20, fields["flags"], fields["method"], 0, 0)
    return what + struct.pack(
        "<IIIHH", fields["crc"], fields["stored"], fields["size"], len(fields["name"]), 0
    )


def _other(chance: random.Random, value: bytes | int) -> bytes | int:
    if isinstance(value, bytes):
        return chance.choice((b"", b"disk/", b"other.raw", b"../disk.raw", b"disk.raw\0"))
    return chance.choice((0, 1, 8, 9, 0x800, 0xFFFF, value))
