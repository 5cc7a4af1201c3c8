"""tar of every age unpacks to what GNU tar and bsdtar unpack it to, or is refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import tar_writer as tar
from tests.imageport_builtin.decompression.test_image_decompression_memory import PROGRAM

from imageport import Image, LimitExceeded, UnsupportedFormat, VerificationFailed
from imageport_builtin.unpacking.tar_archive import TarArchive

Pack = Callable[..., bytes]
Unpack = Callable[..., bytes]

WRITERS = {
    **{f"GNU tar {form}": ("tar", f"--format={form}") for form in ("v7", "oldgnu", "gnu", "ustar", "posix")},
    **{
        f"GNU tar --sparse {form}": ("tar", "--sparse", f"--format={form}")
        for form in ("oldgnu", "gnu", "posix")
    },
    **{
        f"GNU tar --sparse-version={version}": (
            "tar",
            "--sparse",
            "--format=posix",
            f"--sparse-version={version}",
        )
        for version in ("0.0", "0.1", "1.0")
    },
    **{f"bsdtar {form}": ("bsdtar", "--format", form) for form in ("v7tar", "ustar", "gnutar", "pax")},
}
MIB = 1 << 20


def solid(path: Path) -> None:
    path.write_bytes(random.Random(3).randbytes(70_001))


def empty(path: Path) -> None:
    path.write_bytes(b"")


def only_a_hole(path: Path) -> None:
    path.touch()
    os.truncate(path, MIB)


def hole_at_the_end(path: Path) -> None:
    path.write_bytes(b"data" * 3000)
    os.truncate(path, MIB + 77)


def hole_at_the_start(path: Path) -> None:
    only_a_hole(path)
    with path.open("ab") as file:
        file.write(b"the last bytes")


def many_holes(path: Path) -> None:
    with path.open("wb") as file:
        for number in range(300):
            file.seek(number * 3 * 4096)
            file.write(b"%05d" % number * 819)
    os.truncate(path, MIB * 4)


FILES = [solid, empty, only_a_hole, hole_at_the_end, hole_at_the_start, many_holes]


@pytest.mark.parametrize("make", FILES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("writer", WRITERS)
def test_what_gnu_tar_and_bsdtar_pack_comes_out_again(
    writer: str, make: Callable[[Path], None], unpack: Unpack, tmp_path: Path
) -> None:
    make(tmp_path / "disk.raw")
    packed = subprocess.run(
        [*WRITERS[writer], "-cf", "-", "disk.raw"], cwd=tmp_path, check=True, capture_output=True
    ).stdout

    assert unpack(packed) == (tmp_path / "disk.raw").read_bytes()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["disk.raw", "n" * 99 + "/disk", "f" * 120 + "/disk.raw"])
def test_what_python_packs_comes_out_again(form: int, name: str, unpack: Unpack, small: bytes) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as archive:
        info = tarfile.TarInfo(name)
        info.size = len(small)
        archive.addfile(info, io.BytesIO(small))

    assert unpack(target.getvalue()) == small


# ------------------------------------------------------------------------------------------------------ by hand

DATA = random.Random(4).randbytes(1000)
PARTS = [(0, 512), (2048, 488), (4096, 0)]
DISK = DATA[:512].ljust(2048, b"\0") + DATA[512:].ljust(2048, b"\0")
STORED = tar.stored_map(PARTS) + DATA
RECORDS = tar.sparse_records(len(DISK))
SIZE = (b"size", len(STORED))


def sparse_with(*records: tuple[bytes, bytes | int], size: int) -> bytes:
    return tar.pax(records) + tar.header(b"GNUSparseFile.1/disk.raw", size) + tar.padded(STORED)


WHOLE = {
    "sparse file": (tar.sparse(4096, PARTS, DATA), DISK),
    "sparse file, then its size": (sparse_with(*RECORDS, SIZE, size=0), DISK),
    "size, then the sparse file": (sparse_with(SIZE, *RECORDS, size=0), DISK),
    "size in the header and in a record": (sparse_with(*RECORDS, SIZE, size=len(STORED)), DISK),
    "size of the whole file, as bsdtar records it": (
        sparse_with((b"size", 4096), *RECORDS, size=len(STORED)),
        DISK,
    ),
    "old sparse file": (tar.old_sparse(4096, PARTS, DATA), DISK),
    "old sparse file with further blocks": (
        tar.old_sparse(512 * 160, [(n * 1024, 512) for n in range(80)] + [(512 * 160, 0)], b"x" * 512 * 80),
        (b"x" * 512 + bytes(512)) * 80,
    ),
    "empty parts": (tar.sparse(4096, [(0, 512), (700, 0), (2048, 488), (4096, 0)], DATA), DISK),
    "size in base 256": (tar.header(b"disk", b"\x80" + (1000).to_bytes(11, "big")) + tar.padded(DATA), DATA),
    "size without a space or a zero behind it": (
        tar.header(b"disk", b"%012o" % 1000) + tar.padded(DATA),
        DATA,
    ),
    "size with spaces": (tar.header(b"disk", b"%11o " % 1000) + tar.padded(DATA), DATA),
    "size in a record": (tar.pax([(b"size", 1000)]) + tar.header(b"disk", 0) + tar.padded(DATA), DATA),
    "v7": (tar.member(b"disk", DATA, b"\0", magic=tar.V7), DATA),
    "contiguous file": (tar.member(b"disk", DATA, b"7"), DATA),
    "pax header of Solaris": (
        tar.pax([(b"size", 1000)], b"X") + tar.header(b"disk", 0) + tar.padded(DATA),
        DATA,
    ),
    "global header": (tar.pax([(b"comment", b"hello")], b"g") + tar.member(b"disk", DATA), DATA),
    "long names": (
        tar.long_name(b"l" * 200, b"K") + tar.long_name(b"disk" * 50) + tar.member(b"n", DATA),
        DATA,
    ),
    "volume label": (tar.header(b"backup", 0, b"V", magic=tar.GNU) + tar.member(b"disk", DATA), DATA),
    "folder of v7": (tar.header(b"folder/", 0, b"\0", magic=tar.V7) + tar.member(b"folder/disk", DATA), DATA),
    "folder with a size": (tar.header(b"folder", 4096, b"5") + tar.member(b"folder/disk", DATA), DATA),
    "dumped folder": (
        tar.member(b"folder", b"Ydisk\0\0", b"D", magic=tar.GNU) + tar.member(b"disk", DATA),
        DATA,
    ),
}


@pytest.mark.parametrize("archive", WHOLE)
def test_variants_of_headers_are_read(archive: str, unpack: Unpack) -> None:
    packed, disk = WHOLE[archive]

    assert unpack(packed + tar.END) == disk
    assert unpack(packed + tar.member(b"README", b"read me") + tar.END, member="*disk*") == disk


#: GNU tar does not read what bsdtar writes for a sparse file of more than 8 GiB.
ONLY_BSDTAR = "size of the whole file, as bsdtar records it"
#: bsdtar prints these folders, too.
PRINTED = {"folder with a size", "dumped folder"}


@pytest.mark.parametrize("archive", sorted(WHOLE.keys() - PRINTED))
def test_gnu_tar_and_bsdtar_read_the_same(archive: str, tmp_path: Path) -> None:
    packed, disk = WHOLE[archive]
    (tmp_path / "packed.tar").write_bytes(packed + tar.END)
    programs = ["bsdtar"] if archive == ONLY_BSDTAR else ["tar", "bsdtar"]
    for program in programs:
        command = [program, "-xOf", "packed.tar", *(["disk.raw"] if archive == ONLY_BSDTAR else [])]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        assert done.stdout == disk


def test_a_checksum_of_signed_bytes_is_right(unpack: Unpack) -> None:
    header = bytearray(tar.header("Müller".encode("latin-1"), 1000))
    total = sum(byte - 256 * (byte > 127) for byte in header[:148] + b" " * 8 + header[156:])
    header[148:156] = b"%06o\0 " % total

    assert unpack(bytes(header) + tar.padded(DATA) + tar.END) == DATA


def test_each_of_thousands_of_members_may_be_chosen(unpack: Unpack) -> None:
    packed = b"".join(tar.member(b"%d" % number, b"%d" % number * 300) for number in range(5000)) + tar.END

    assert unpack(packed, member="4711") == b"4711" * 300


# ----------------------------------------------------------------------------------------------------- differences


def parts(*entries: tuple[int, int], size: int = 4096, data: bytes = DATA) -> bytes:
    return tar.sparse(size, entries, data)


DAMAGED = {
    "parts that are not whole blocks": parts((0, 500), (2048, 500), (4096, 0)),
    "map without a last entry": parts((0, 512), (2048, 488)),
    "map that ends too early": parts((0, 512), (2048, 488), (4000, 0)),
    "map that goes backwards": parts((2048, 512), (0, 488), (4096, 0)),
    "map that goes beyond the end": parts((0, 512), (4000, 488)),
    "overlapping parts": parts((0, 512), (100, 488), (4096, 0)),
    "empty map": parts(data=b""),
    "more stored than in the map": parts((0, 512), (4096, 0)),
    "less stored than in the map": parts((0, 512), (1024, 1512), (4096, 0)),
    "map that is cut": tar.pax(RECORDS) + tar.member(b"disk", b"3\n0\n512\n2048\n" + bytes(499)),
    "map with a text": tar.pax(RECORDS) + tar.member(b"disk", tar.padded(b"1\n0x0\n512\n") + bytes(512)),
    "two sizes": tar.pax([(b"size", 3), (b"size", 1000)]) + tar.member(b"disk", DATA),
    "size that is not a number": tar.pax([(b"size", b"1000.0")]) + tar.member(b"disk", DATA),
    "size that is empty": tar.pax([(b"size", b"")]) + tar.member(b"disk", DATA),
    "negative size in a record": tar.pax([(b"size", -1)]) + tar.member(b"disk", DATA),
    "negative size": tar.header(b"disk", b"\xff" * 12) + tar.padded(DATA),
    "huge size": tar.header(b"disk", b"\x80" + b"\xff" * 11) + tar.padded(DATA),
    "size in base 64": tar.header(b"disk", b"+00000000Po") + tar.padded(DATA),
    "size with letters": tar.header(b"disk", b"0001750x000\0") + tar.padded(DATA),
    "global size": tar.pax([(b"size", 1000)], b"g") + tar.header(b"disk", 0) + tar.padded(DATA),
    "folder with contents": tar.member(b"folder/", DATA),
    "link with contents": tar.header(b"link", 5, b"2") + tar.member(b"disk", DATA),
    "hard link of pax with contents": tar.pax([(b"ctime", 1)])
    + tar.header(b"link", 5, b"1")
    + tar.member(b"x", DATA),
    "records that are malformed": tar.header(b"x", 9, b"x")
    + tar.padded(b"9 path=a\0")
    + tar.member(b"disk", DATA),
    "no name": tar.pax([(b"path", b"")]) + tar.member(b"disk", DATA),
    "keyword with a zero": tar.pax([(b"pa\0th", b"name")]) + tar.member(b"disk", DATA),
    "record that is too long": tar.header(b"x", 9, b"x")
    + tar.padded(b"99 path=\n")
    + tar.member(b"disk", DATA),
    "two pax headers": tar.pax([(b"ctime", 1)]) * 2 + tar.member(b"disk", DATA),
    "pax header without a member": tar.member(b"disk", DATA) + tar.pax([(b"size", 5)]),
    "half an entry": tar.pax(
        [(b"GNU.sparse.size", 4096), (b"GNU.sparse.numblocks", 2), (b"GNU.sparse.map", b"0,512,4096")]
    )
    + tar.member(b"disk", DATA[:512]),
    "no number of entries": tar.pax([(b"GNU.sparse.size", 4096), (b"GNU.sparse.map", b"0,512,4096,0")])
    + tar.member(b"disk", DATA[:512]),
    "other number of entries": tar.pax(
        [(b"GNU.sparse.size", 4096), (b"GNU.sparse.numblocks", 3), (b"GNU.sparse.map", b"0,512,4096,0")]
    )
    + tar.member(b"disk", DATA[:512]),
    "damage in the middle": tar.member(b"README", b"read me") + b"x" * 512 + tar.member(b"disk", DATA),
    "empty header in the middle": tar.member(b"disk", DATA) + bytes(512) + tar.member(b"README", b"read me"),
}


@pytest.mark.parametrize("archive", DAMAGED)
def test_what_programs_read_differently_or_not_at_all_is_refused(archive: str, unpack: Unpack) -> None:
    with pytest.raises(VerificationFailed, match=r"tar: the header at byte \d+ is damaged \(") as caught:
        unpack(DAMAGED[archive] + tar.END, member="disk*")

    assert type(caught.value) is VerificationFailed
    assert caught.value.hint


@pytest.mark.parametrize(
    ("archive", "message"),
    [
        (tar.member(b"disk", DATA, b"M", magic=tar.GNU), "one volume of several"),
        (tar.pax([(b"GNU.volume.offset", 512)]) + tar.member(b"disk", DATA), "one volume of several"),
        (tar.pax([(b"SUN.holesdata", b" 0 1")]) + tar.member(b"disk", DATA), "in the format of Solaris"),
        (tar.header(b"disk", 0, b"S"), "in the format of star"),
        (tar.pax([(b"SCHILY.realsize", 5000)]) + tar.member(b"disk", DATA), "in the format of star"),
        (
            tar.pax([(b"GNU.sparse.major", 2), (b"GNU.sparse.minor", 0)]) + tar.member(b"d", DATA),
            "later version",
        ),
    ],
    ids=["volume", "volume of pax", "Solaris", "star", "star in pax", "version 2.0"],
)
def test_extensions_that_cannot_be_read_are_named(archive: bytes, message: str, unpack: Unpack) -> None:
    with pytest.raises(UnsupportedFormat, match=message) as caught:
        unpack(archive + tar.END)

    assert "unpack" in caught.value.hint


@pytest.mark.parametrize("kind", [b"A", b"E", b"I", b"N", b"?"])
def test_members_of_unknown_types_are_not_taken_for_files(kind: bytes, unpack: Unpack) -> None:
    packed = tar.member(b"attributes", b"data", kind) + tar.member(b"disk", DATA) + tar.END

    with pytest.raises(VerificationFailed, match="'attributes' is a link, a device or the like"):
        unpack(packed)
    assert unpack(packed, member="disk") == DATA


# ---------------------------------------------------------------------------------------------- cuts and damage


def accepted(unpack: Unpack, packed: bytes) -> bytes | None:
    try:
        return unpack(packed)
    except VerificationFailed as error:
        assert error.message.startswith("tar: ")
        return None


@pytest.mark.parametrize(
    "archive", ["sparse file", "old sparse file with further blocks", "v7", "long names"]
)
def test_every_cut_is_noticed(archive: str, unpack: Unpack) -> None:
    packed, _ = WHOLE[archive]
    for length in {*range(512, len(packed), 97), *range(512, len(packed) + 1024, 512)}:
        with pytest.raises(VerificationFailed, match=f"tar: the archive is cut off after {length} bytes"):
            unpack((packed + tar.END)[:length])


def test_an_archive_without_an_end_is_read_once_a_checksum_has_matched(
    make_tap: Any, transform: Callable[..., Image | None], caplog: pytest.LogCaptureFixture
) -> None:
    for end in (b"", bytes(512)):
        published = tar.member(b"disk", DATA) + end
        data = make_tap(published).image_data
        image = transform(data.digested("sha256", lambda digest: None))

        assert image is not None
        assert b"".join(image.data.chunks()) == DATA
        assert caplog.messages == ["tar: the blocks of zeros that end an archive are missing"]
        caplog.clear()


def test_what_follows_the_end_is_refused(unpack: Unpack) -> None:
    packed = tar.member(b"disk", DATA) + tar.END

    assert unpack(packed + bytes(12_345)) == DATA
    assert unpack(packed + bytes(512) + packed, trailing_bytes="ignore") == DATA
    with pytest.raises(
        VerificationFailed, match=r"tar: 2560 bytes follow the end of the archive at byte 2560"
    ):
        unpack(packed + bytes(512) + packed)


@pytest.mark.parametrize("archive", ["sparse file", "old sparse file", "v7", "long names"])
def test_every_damaged_byte_of_a_header_is_noticed(archive: str, unpack: Unpack) -> None:
    packed, disk = WHOLE[archive]
    packed += tar.END
    contents = range(packed.rindex(DATA[:100]), len(packed) - 1024)
    for place in set(range(len(packed))) - set(contents):
        damaged = bytearray(packed)
        damaged[place] ^= 0x10
        # A leading zero may become a space.
        assert accepted(unpack, bytes(damaged)) in (None, disk), place


# ----------------------------------------------------------------------------------------------------------- limits

TOO_MANY = 1_000_001
PIECES = [(b"GNU.sparse.size", 512), (b"GNU.sparse.numblocks", TOO_MANY)]
ENTRIES = [(b"GNU.sparse.offset", 0), (b"GNU.sparse.numbytes", 0)] * 700_000
ENTRY_LIMIT = "the map of a sparse file has more than 1000000 entries"

ENDLESS_MAPS = {
    "1.0": (
        tar.pax(tar.sparse_records(512)) + tar.member(b"disk", b"%d\n" % TOO_MANY + b"0\n0\n" * TOO_MANY),
        ENTRY_LIMIT,
    ),
    "0.1": (
        tar.pax([*PIECES, (b"GNU.sparse.map", b"0,0," * (TOO_MANY - 1) + b"0,0")]) + tar.member(b"disk", b""),
        ENTRY_LIMIT,
    ),
    "0.0": (
        tar.pax([*PIECES, *ENTRIES]) + tar.member(b"disk", b""),
        "the headers of a member are longer than 32.0 MiB",
    ),
    "old": (tar.old_sparse(512, [(0, 0)] * TOO_MANY, b""), ENTRY_LIMIT),
}


def test_a_map_of_a_million_entries_is_read(unpack: Unpack) -> None:
    count = 999_999
    parts = [(0, 1)] + [(512, 0)] * (count - 1)
    packed = tar.sparse(512, parts, b"x") + tar.END

    assert unpack(packed) == b"x" + bytes(511)


@pytest.mark.parametrize("version", ENDLESS_MAPS)
def test_a_sparse_map_has_a_limit_and_takes_little_memory(version: str, tmp_path: Path) -> None:
    packed, limit = ENDLESS_MAPS[version]
    (tmp_path / "packed").write_bytes(gzip.compress(packed + tar.END, 6))
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, tmp_path / "packed", tmp_path / "work"],
        check=True,
        capture_output=True,
    )
    measured = json.loads(done.stdout)

    assert measured["failure"] == f"limit-exceeded: tar: {limit}"
    assert measured["growth"] < 120 * MIB


def test_the_headers_of_a_member_have_a_limit(unpack: Unpack) -> None:
    packed = tar.header(b"././@LongLink", 64 << 20, b"L", magic=tar.GNU) + bytes(64 << 20)

    with pytest.raises(LimitExceeded, match=r"the headers of a member are longer than 32\.0 MiB"):
        unpack(packed)


def test_small_members_can_be_read_on_the_way_to_the_image() -> None:
    packed = (
        tar.member(b"disk.ovf", b"<Envelope>")
        + tar.sparse(4096, PARTS, DATA)
        + tar.member(b"disk.mf", b"SHA256")
    )
    archive = TarArchive(iter([packed + tar.END]), lambda: None)
    seen = {member.name: (member.handle, b"".join(archive.contents())) for member in archive}

    assert seen == {"disk.ovf": (10, b"<Envelope>"), "disk.raw": (4096, DISK), "disk.mf": (6, b"SHA256")}
