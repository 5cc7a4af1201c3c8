"""Archives are recognised by their first bytes, and disks are never taken for archives."""

from __future__ import annotations

import random
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from imageport.dataplane import identify
from imageport.dataplane.file_types import HEAD

CONTENT = random.Random(3).randbytes(4000) + bytes(4000)

COMMANDS = {
    "gzip": ["gzip", "-c"],
    "xz": ["xz", "-c"],
    "lzma": ["xz", "--format=lzma", "-c"],
    "bzip2": ["bzip2", "-c"],
    "zstd": ["zstd", "-qc"],
    "lz4": ["lz4", "-qc"],
    "lzip": ["lzip", "-c"],
    "compress": ["compress", "-c"],
}


def packed(name: str, content: bytes = CONTENT, *options: str) -> bytes:
    return subprocess.run([*COMMANDS[name], *options], input=content, check=True, capture_output=True).stdout


def made(folder: Path, *command: str) -> bytes:
    """Return the file ``out`` that *command* makes of the file ``disk.raw``, or its output."""
    (folder / "disk.raw").write_bytes(CONTENT)
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, input=b"disk.raw\n")
    [*files] = folder.glob("out*")
    return files[0].read_bytes() if files else done.stdout


def name_of(head: bytes) -> str | None:
    found = identify(head[:HEAD])
    if found is None or found.kind != "archive":
        return None
    assert found.hint
    assert found.may_be_raw
    return found.name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_output_of_a_compressor_is_recognised(name: str) -> None:
    assert name_of(packed(name)) == name


@pytest.mark.parametrize(
    "options", [("-0",), ("-9e",), ("--lzma1=lc=0,lp=2,pb=0",), ("--lzma1=dict=96KiB,lc=4",)]
)
def test_lzma_files_of_every_kind_are_recognised(options: tuple[str, ...]) -> None:
    assert name_of(packed("lzma", CONTENT, *options)) == "lzma"
    assert name_of(packed("lzma", bytes(1 << 20), *options)) == "lzma"


def test_lzma_files_with_a_length_are_recognised() -> None:
    small = packed("lzma", bytes(4000))
    # A length instead of an end marker, as the first programs wrote it, and the largest dictionary.
    known = small[:1] + struct.pack("<IQ", 0xFFFFFFFF, 4000) + small[13:-6]

    assert name_of(known) == "lzma"


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("zip", ["zip", "-q", "out.zip", "disk.raw"]),
        ("7z", ["7z", "a", "-bd", "out.7z", "disk.raw"]),
        ("lha", ["jlha", "ao5q", "out.lzh", "disk.raw"]),
        ("tar", ["tar", "--format=v7", "-cf", "out.tar", "disk.raw"]),
        ("tar", ["tar", "--format=pax", "-cf", "out.tar", "disk.raw"]),
        ("ar", ["ar", "rc", "out.a", "disk.raw"]),
        ("cpio", ["bsdtar", "--format=newc", "-cf", "out.cpio", "disk.raw"]),
        ("cpio", ["bsdtar", "--format=odc", "-cf", "out.cpio", "disk.raw"]),
        ("cpio", ["bsdtar", "--format=bin", "-cf", "out.cpio", "disk.raw"]),
        ("xar", ["bsdtar", "--format=xar", "-cf", "out.xar", "disk.raw"]),
        ("split zip", ["zip", "-q", "-0", "-s", "64k", "out.zip", "disk.raw"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_an_archive_is_recognised(name: str, command: list[str], tmp_path: Path) -> None:
    assert name_of(made(tmp_path, *command)) == name


HEADERS = {
    "lz4": b"\x02\x21\x4c\x18",
    "lzop": b"\x89LZO\0\r\n\x1a\n",
    "lrzip": b"LRZI\0\x06",
    "snappy": b"\xff\x06\0\0sNaPpY",
    "rar": b"Rar!\x1a\x07\x01\0",
    "cab": b"MSCF\0\0\0\0",
    "ace": b"\x12\x34\x31\0\0\0\x90**ACE**",
    "wim": b"MSWIM\0\0\0\xd0\0\0\0",
    "rpm": b"\xed\xab\xee\xdb\x03\0",
    "deb": b"!<arch>\ndebian-binary   ",
    "zip": b"PK00PK\x03\x04",
    "script": b"#!/bin/sh\n",
    "openssl": b"Salted__",
    "age": b"age-encryption.org/v1\n",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_is_recognised(name: str) -> None:
    assert name_of(HEADERS[name] + CONTENT) == name
    assert name_of(HEADERS[name]) == name


def test_an_arj_archive_is_recognised_by_the_sum_of_its_header() -> None:
    header = bytes([30, 11, 1, 0, 0, 0, 2, 0]) + bytes(22) + b"disk.arj\0\0"
    start = b"\x60\xea" + struct.pack("<H", len(header)) + header

    assert name_of(start + struct.pack("<I", zlib.crc32(header)) + CONTENT) == "arj"
    assert name_of(start + struct.pack("<I", zlib.crc32(header) ^ 1) + CONTENT) is None


def test_old_rar_archives_are_recognised() -> None:
    assert name_of(b"Rar!\x1a\x07\0" + CONTENT) == name_of(b"RE~^" + CONTENT) == "rar"


@pytest.mark.parametrize("order", "<>")
def test_old_cpio_archives_of_both_byte_orders_are_recognised(order: str) -> None:
    header = struct.pack(f"{order}13H", 0o070707, 1, 2, 0o100644, 0, 0, 1, 0, 0, 0, 9, 0, 5000)

    assert name_of(header + b"disk.raw\0" + CONTENT) == "cpio"
    assert name_of(header + b"disk.rawx" + CONTENT) is None


def skippable(length: int) -> bytes:
    return b"\x5f\x2a\x4d\x18" + struct.pack("<I", length) + bytes(length)


def test_zstd_is_recognised_behind_skippable_frames() -> None:
    frame = packed("zstd")

    assert name_of(skippable(4) * 100 + frame) == "zstd"
    assert name_of(skippable(HEAD * 2) + frame) == "zstd"
    assert name_of(skippable(0)) == "zstd"
    assert name_of(skippable(8) + bytes(5000)) is None


@pytest.mark.parametrize(
    ("name", "length", "command"),
    [
        ("gzip", 3, None),
        ("xz", 6, None),
        ("bzip2", 10, None),
        ("zstd", 4, None),
        ("lz4", 4, None),
        ("lzip", 5, None),
        ("zip", 4, ("zip", "-q", "out.zip", "disk.raw")),
        ("7z", 6, ("7z", "a", "-bd", "out.7z", "disk.raw")),
        ("tar", 257, ("tar", "--format=gnu", "-cf", "out.tar", "disk.raw")),
        ("tar", 257, ("tar", "--format=pax", "-cf", "out.tar", "disk.raw")),
        ("ar", 8, ("ar", "rc", "out.a", "disk.raw")),
        ("xar", 8, ("bsdtar", "--format=xar", "-cf", "out.xar", "disk.raw")),
        *(
            ("lha", 60, ("jlha", f"a{method}{level}q", "out.lzh", "disk.raw"))
            for method in ("o5", "z")
            for level in (0, 1, 2)
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_an_archive_with_a_damaged_byte_in_its_header_is_not_a_disk(
    name: str, length: int, command: tuple[str, ...] | None, tmp_path: Path
) -> None:
    whole = made(tmp_path, *command) if command else packed(name)
    for place in range(length):
        for change in (0x01, 0x20, 0x80, 0xFF):
            head = bytearray(whole)
            head[place] ^= change
            assert name_of(bytes(head)) == name


@pytest.mark.parametrize("name", ["gzip", "xz", "zstd", "lz4", "lzip"])
def test_a_boot_record_distinguishes_a_disk_from_a_damaged_archive(name: str) -> None:
    head = bytearray(packed(name))
    head[510:512] = b"\x55\xaa"
    assert name_of(bytes(head)) == name
    head[0] ^= 0x20
    assert name_of(bytes(head)) is None


def test_a_z_archive_with_a_damaged_flag_is_not_a_disk() -> None:
    whole = packed("compress")
    for bit in range(8):
        assert name_of(whole[:2] + bytes([whole[2] ^ 1 << bit]) + whole[3:]) == "compress"


def boot_sector(start: bytes) -> bytes:
    return start.ljust(510, b"\0") + b"\x55\xaa" + bytes(8192)


PORTABLE_EXECUTABLE = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64) + b"PE\0\0\x64\x86"


def test_programs_are_recognised_but_not_a_kernel_that_is_a_boot_record() -> None:
    assert name_of(PORTABLE_EXECUTABLE + CONTENT) == "exe"
    assert name_of(Path("/proc/self/exe").read_bytes()) == "elf"
    assert name_of(boot_sector(PORTABLE_EXECUTABLE)) is None
    assert name_of(b"MZ" + bytes(5000)) is None
    assert name_of(b"\x7fELF\x09\x09\x09" + CONTENT) is None


@pytest.mark.parametrize(
    "disk",
    [
        b"",
        b"\x1f",
        bytes(4096),
        b"\xff" * 4096,
        b"BZh9 is how this disk begins" + bytes(5000),
        b"\x1f\x9d" + bytes(5000),
        boot_sector(b"\x1f\x9d\x90\0\0"),
        b"\x5d\0\0" + b"\x90" * 5000,
        b"\x5d\0\0\x80\0" + b"\0\x10" + bytes(7) + random.Random(5).randbytes(5000),
        b"\x60\xea" + bytes(5000),
        b"\xc7\x71" + bytes(5000),
        boot_sector(b"\xeb\x63-lh5-"),
        boot_sector(b"\xeb\x63".ljust(257, b"\0") + b"ustar\x0000"),
        b"LZIP is how this disk begins" + bytes(5000),
        b"07070 and more digits" + bytes(5000),
        b"PK\x05\x06" + bytes(18),
        b"QFI\xfb" + bytes(5000),
        b"hsqs" + bytes(5000),
    ],
    ids=lambda head: repr(head[:12]),
)
def test_disks_are_not_taken_for_archives(disk: bytes) -> None:
    assert name_of(disk) is None


def test_noise_is_not_an_archive() -> None:
    noise = random.Random(11)
    for _ in range(20_000):
        head = noise.randbytes(600)
        assert name_of(head) is None
    for start in (b"\x1f\x9d", b"\x60\xea", b"\xc7\x71", b"\x71\xc7", b"MZ", b"\x5d\0\0"):
        taken = sum(name_of(start + noise.randbytes(600)) is not None for _ in range(2000))
        # The flags and the first code of a .Z archive are all that can be checked.
        assert taken == 0 or (start == b"\x1f\x9d" and taken < 2000 // 3)
