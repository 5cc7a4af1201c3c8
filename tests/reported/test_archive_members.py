"""Disks in tar and LHA archives as other programs and other decades wrote them."""

from __future__ import annotations

import gzip
import random
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import lha_writer as lha
from tests import tar_writer as tar
from tests.reported.bench import UNPACK, Bench

from imageport.testing.command import RunImageport

DISK = random.Random(7).randbytes(300_000).ljust(512 << 10, b"\0") + b"END\n".rjust(512, b"\0")
PARTS = [(0, 300_032), (len(DISK) - 512, 512)]
STORED = tar.stored_map(PARTS) + DISK[:300_032] + DISK[-512:]
SIZE = (b"size", len(STORED))
SPARSE = tar.sparse_records(len(DISK))
AGAIN = "fetch the image again, and compare its checksum with the publisher's"


@pytest.fixture
def bench(run_imageport: RunImageport) -> Bench:
    return Bench(run_imageport)


@pytest.mark.parametrize(
    ("records", "size"),
    [
        ([*SPARSE, SIZE], 0),
        ([SIZE, *SPARSE], 0),
        ([*SPARSE, SIZE], len(STORED)),
        ([*SPARSE, (b"size", len(DISK))], len(STORED)),
    ],
    ids=["GNU tar", "size first", "size in the header", "bsdtar"],
)
def test_a_sparse_file_with_a_size_record_is_unpacked(
    records: list[tuple[bytes, bytes | int]], size: int, bench: Bench, tmp_path: Path
) -> None:
    packed = tar.pax(records) + tar.header(b"GNUSparseFile.0/disk.raw", size) + tar.padded(STORED)
    (tmp_path / "disk.tar").write_bytes(packed + tar.END)
    # GNU tar does not read what bsdtar writes.
    program = "bsdtar" if (b"size", len(DISK)) in records else "tar"
    elsewhere = subprocess.run(
        [program, "-xOf", tmp_path / "disk.tar"], check=True, capture_output=True
    ).stdout

    bench.assert_stored(bench.imports(packed + tar.END, UNPACK), DISK)
    assert elsewhere == DISK


def test_the_member_behind_a_sparse_file_is_found(bench: Bench) -> None:
    sparse = tar.pax([*SPARSE, SIZE]) + tar.header(b"GNUSparseFile.0/disk.raw", 0) + tar.padded(STORED)
    packed = sparse + tar.member(b"README", b"read me") + tar.END
    unpack = {"use": UNPACK, "with": {"member": "*.raw"}}

    bench.assert_refused(
        bench.imports(packed, UNPACK),
        5,
        "tar: the archive holds 2 files: 'disk.raw', 'README'",
        "choose one with the option member of this step, for instance member: 'disk.raw', or pack exactly one image",
    )
    bench.assert_stored(bench.imports(packed, unpack), DISK)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_tar_without_the_letters_ustar_is_unpacked(compressed: bool, bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "disk.raw").write_bytes(DISK)
    command = ["tar", "--format=v7", "-cf", "-", "disk.raw"]
    packed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    assert b"ustar" not in packed[:512]

    bench.assert_stored(bench.imports(gzip.compress(packed) if compressed else packed, UNPACK), DISK)


MANY = 1_000_001
MANY_ENTRIES = "tar: the map of a sparse file has more than 1000000 entries"


SMALL = tar.member(b"disk.raw", bytes(1 << 20))
ENDLESS_MAPS: dict[str, Callable[[], bytes]] = {
    "0.0": lambda: (
        tar.pax(
            [
                (b"GNU.sparse.size", 1 << 20),
                (b"GNU.sparse.numblocks", MANY),
                *[(b"GNU.sparse.offset", 0), (b"GNU.sparse.numbytes", 0)] * MANY,
            ]
        )
        + SMALL
    ),
    "0.1": lambda: (
        tar.pax(
            [
                (b"GNU.sparse.major", 0),
                (b"GNU.sparse.minor", 1),
                (b"GNU.sparse.size", 1 << 20),
                (b"GNU.sparse.map", b",".join([b"0"] * (2 * MANY))),
            ]
        )
        + SMALL
    ),
    "1.0": lambda: (
        tar.pax(tar.sparse_records(1 << 20))
        + tar.member(b"disk.raw", tar.stored_map([(0, 0)] * MANY) + bytes(1 << 20))
    ),
}


@pytest.mark.parametrize("version", ENDLESS_MAPS)
def test_a_small_archive_with_an_endless_map_is_refused(version: str, bench: Bench) -> None:
    archive = gzip.compress(ENDLESS_MAPS[version]() + tar.END)
    assert len(archive) < 300_000

    message, hint = MANY_ENTRIES, "pack the image without --sparse"
    if version == "0.0":
        message = "tar: the headers of a member are longer than 32.0 MiB"
        hint = "pack the image alone, without extended attributes"
    bench.assert_refused(bench.imports(archive, UNPACK, arguments=("--disk-format", "raw")), 1, message, hint)


def test_a_map_that_programs_read_differently_is_refused(bench: Bench) -> None:
    # GNU tar skips to the next block behind each part, bsdtar does not.
    parts = [(0, 500), (2000, 500), (4096, 0)]
    packed = tar.sparse(4096, parts, DISK[:1000]) + tar.END

    bench.assert_refused(
        bench.imports(packed, UNPACK),
        5,
        "tar: the header at byte 1024 is damaged (the map of the sparse file does not fit)",
        AGAIN,
    )


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_folder_and_name_in_lha_are_both_seen(level: int, bench: Bench) -> None:
    packed = lha.member(level, b"disk.img", DISK, folder=b"d\xff")
    packed += lha.member(level, b"README", b"hello\n", folder=b"d\xff") + lha.END
    unpack = {"use": UNPACK, "with": {"member": "d/disk.img"}}

    bench.assert_stored(bench.imports(packed, unpack), DISK)


@pytest.mark.parametrize("method", [b"-lz4-", b"-lh0-", b"-pm0-"])
def test_an_lha_member_that_is_only_stored_is_unpacked(method: bytes, bench: Bench) -> None:
    packed = lha.member(1, b"disk.img", DISK, method=method) + lha.END

    bench.assert_stored(bench.imports(packed, UNPACK), DISK)


@pytest.mark.parametrize("method", [b"-lz5-", b"-lzs-", b"-pm2-", b"-lh1-"])
def test_an_old_lha_method_is_named(method: bytes, bench: Bench) -> None:
    packed = lha.member(1, b"disk.img", DISK, packed=b"packed" * 999, method=method) + lha.END

    bench.assert_refused(
        bench.imports(packed, UNPACK, arguments=("--disk-format", "raw")),
        5,
        f"lha: 'disk.img' cannot be unpacked here: LHA method {method.decode()} is not supported",
        "unpack it with lhasa ('lha x') and import the result",
    )


def test_a_link_beside_the_image_is_passed_over_with_a_pattern(bench: Bench) -> None:
    link = tar.header(b"latest.raw", 0, b"2", patches={157: b"disk-1.0.raw"})
    packed = link + tar.member(b"disk-1.0.raw", DISK) + tar.END
    refusal = "tar: 'latest.raw' is a link, a device or the like, not a file"

    bench.assert_refused(
        bench.imports(packed, UNPACK),
        5,
        refusal,
        "if the archive holds the image too, choose it with the option member of this step; or pack it alone",
    )
    bench.assert_stored(bench.imports(packed, {"use": UNPACK, "with": {"member": "disk-*"}}), DISK)
    bench.assert_refused(
        bench.imports(packed, {"use": UNPACK, "with": {"member": "latest*"}}),
        5,
        refusal,
        "pack the image itself",
    )
