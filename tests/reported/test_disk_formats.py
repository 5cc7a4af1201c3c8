"""Disk images as people have them: cut off, marked, oddly partitioned, and files that are not disks."""

from __future__ import annotations

import json
import random
import struct
import subprocess
import zlib
from pathlib import Path

import pytest
from tests.reported.bench import RAW, Bench

from imageport.testing.command import RunImageport, sha512

QCOW2 = {"use": "image_conversion", "with": {"output_format": "qcow2"}}
VDI = {"use": "image_conversion", "with": {"output_format": "vdi"}}
MIB = 1 << 20
FETCH_AGAIN = "get the image again, and compare its size with that of the original"
PERMIT = (
    "if the disk is known to be good, permit it with 'gpt_safety_checks_nonfatal: [mbr]' in the site file"
)
STORED_AS_RAW = "; to store these bytes as they are, declare --disk-format raw"


@pytest.fixture
def bench(run_imageport: RunImageport) -> Bench:
    return Bench(run_imageport)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk of 8 MiB, three of them full, whose last bytes are not zero."""
    content = bytearray(8 * MIB)
    content[512 : 3 * MIB] = random.Random(7).randbytes(3 * MIB - 512)
    content[-4:] = b"END\n"
    path = tmp_path / "disk.raw"
    path.write_bytes(content)
    return path


def converted(disk: Path, name: str, *options: str) -> Path:
    """Return an image of *disk* with this name, as qemu-img writes it with *options*."""
    path = disk.with_name(name)
    subprocess.run(["qemu-img", "convert", "-q", "-f", "raw", *options, disk, path], check=True)
    return path


def cut(path: Path, count: int) -> bytes:
    """Return the file at *path* without its last *count* bytes."""
    return path.read_bytes()[:-count]


def not_whole(name: str, has: int, needs: int) -> str:
    return (
        f"the image ({name}) is damaged: it is not whole: the file has {has} bytes, and the image needs {needs}"
        f" ({needs - has} bytes are missing)"
    )


@pytest.mark.parametrize("options", [(), ("-o", "static=on")])
@pytest.mark.parametrize("step", [RAW, QCOW2, VDI, None])
def test_a_vdi_that_was_cut_off_is_refused(
    step: dict[str, object] | None, options: tuple[str, ...], disk: Path, bench: Bench
) -> None:
    whole = converted(disk, "disk.vdi", "-O", "vdi", *options)
    size = whole.stat().st_size
    for missing in (4096, 1_500_000, 3_000_000):
        done = bench.imports(cut(whole, missing), *([step] if step else []))
        bench.assert_refused(done, 5, not_whole("vdi", size - missing, size), FETCH_AGAIN)


@pytest.mark.parametrize("name", ["qcow2", "vmdk"])
@pytest.mark.parametrize("step", [RAW, None])
def test_an_image_that_is_short_by_less_than_a_cluster_is_refused(
    step: dict[str, object] | None, name: str, disk: Path, bench: Bench
) -> None:
    steps = [step] if step else []
    whole = converted(disk, f"disk.{name}", "-O", name)
    size = whole.stat().st_size

    bench.assert_refused(
        bench.imports(cut(whole, 4096), *steps), 5, not_whole(name, size - 4096, size), FETCH_AGAIN
    )
    bench.assert_stored(bench.imports(whole, *steps), disk.read_bytes() if step else whole.read_bytes())


@pytest.mark.parametrize(
    ("bit", "reason"),
    [
        (2, "it is marked as corrupt: QEMU has found it inconsistent"),
        (1, "it is marked as dirty: it was not closed properly, or is still in use"),
    ],
)
@pytest.mark.parametrize("step", [RAW, QCOW2, None])
def test_a_qcow2_that_is_marked_corrupt_or_dirty_is_refused_with_the_command_that_repairs_it(
    step: dict[str, object] | None, bit: int, reason: str, disk: Path, bench: Bench
) -> None:
    content = bytearray(converted(disk, "disk.qcow2", "-O", "qcow2").read_bytes())
    content[79] |= bit

    bench.assert_refused(
        bench.imports(bytes(content), *([step] if step else [])),
        5,
        f"the image (qcow2) is damaged: {reason}",
        "repair it with 'qemu-img check -r all' where it comes from, and import it then",
    )


@pytest.mark.parametrize(
    ("entries", "odd"),
    [
        (
            bytes([0, 0, 1, 0, 0xEE, 0xFF, 0xFF, 0xFF]) + struct.pack("<II", 1, 16383),
            "the entry that protects a GPT has an invalid start CHS (0/1/0 instead of 0/2/0)",
        ),
        (
            bytes([0, 0xFE, 0xFF, 0xFF, 0xEE, 0xFE, 0xFF, 0xFF]) + struct.pack("<II", 1, 16383),
            "the entry that protects a GPT has an invalid start CHS (254/255/255 instead of 0/2/0)",
        ),
        (
            bytes([0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF])
            + struct.pack("<II", 1, 100)
            + bytes([0x80, 0, 2, 0, 0x83, 0xFF, 0xFF, 0xFF])
            + struct.pack("<II", 101, 1000),
            "it has invalid extra partitions beside the entry that protects a GPT, which is to be the first",
        ),
    ],
    ids=["as Flatcar has it", "as a Mac writes it", "hybrid"],
)
def test_the_option_for_odd_boot_records_reaches_conversion(
    entries: bytes, odd: str, disk: Path, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    content = bytearray(disk.read_bytes())
    content[446:510] = entries.ljust(64, b"\0")
    content[510:512] = b"\x55\xaa"
    disk.write_bytes(content)
    qcow2 = converted(disk, "disk.qcow2", "-O", "qcow2")
    message = f"not safe: its boot record is odd (check mbr): {odd}"
    ways = ((qcow2, RAW), (disk, QCOW2), (disk, RAW))
    for source, step in ways:
        bench.assert_refused(bench.imports(source, step), 5, f"the image (gpt) is {message}", PERMIT)

    with (bench.folder / "imageport.yaml").open("a") as site:
        site.write("gpt_safety_checks_nonfatal: [mbr]\n")
    for source, step in ways:
        caplog.clear()
        done = bench.imports(source, step)
        assert caplog.text.count("(check mbr)") == 1
        assert done.exit_code == 0, done.report["error"]
        [copy] = done.copies.values()
        if step == QCOW2:
            back = disk.with_name("back.raw")
            subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", copy, back], check=True)
            assert sha512(back) == sha512(disk)
        else:
            assert sha512(copy) == sha512(disk)
        bench.assert_stored(done, copy.read_bytes())


@pytest.mark.parametrize(
    ("start", "code_at"),
    [
        (b"\xeb\x52\x90NTFS    \x00\x02\x08" + bytes(7) + b"\xf8", 0x54),
        (b"\xeb\x3c\x90mkfs.fat\x00\x02\x01\x01\x00\x02\xe0\x00\x40\x0b\xf0", 0x3E),
        (b"\xeb\x76\x90EXFAT   " + bytes(53), 0x78),
    ],
    ids=["NTFS", "FAT floppy", "exFAT"],
)
@pytest.mark.parametrize("step", [RAW, None])
def test_a_file_system_without_partition_table_is_raw(
    step: dict[str, object] | None, start: bytes, code_at: int, disk: Path, bench: Bench
) -> None:
    text = (
        b"This is not a bootable disk. Please insert a bootable floppy and press any key to try again ... "
        * 6
    )
    sector = bytearray(512)
    sector[: len(start)] = start
    sector[code_at:510] = text[: 510 - code_at]
    sector[510:] = b"\x55\xaa"
    content = bytes(sector) + disk.read_bytes()[512:]

    done = bench.imports(content, *([step] if step else []))

    assert done.report["image"]["disk_format"] == "raw"
    bench.assert_stored(done, content)


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (
            b'{"error": {"code": 404, "message": "no such image"}}\n',
            "the image is a JSON document",
            "check what the source answers: it may be an error",
        ),
        (
            b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>",
            "the image is an XML document",
            "check what the source answers: it may be an error",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
            "the image is a pointer of Git LFS, not the file itself",
            "fetch the file with 'git lfs pull'",
        ),
        (
            b"0" * 64 + b"  disk.qcow2\n",
            "the image is a list of digests",
            "import the file that it lists",
        ),
        (b"Not Found", "the image is a text file", "import the disk itself"),
        (
            bytes(range(256)),
            "the image is less than one sector (512 bytes) long",
            "check the source: this is not a disk",
        ),
    ],
    ids=["JSON", "XML", "LFS", "digests", "text", "fragment"],
)
@pytest.mark.parametrize("step", [RAW, None])
def test_other_files_than_disks_are_refused_unless_they_are_declared_raw(
    step: dict[str, object] | None, content: bytes, message: str, hint: str, bench: Bench
) -> None:
    steps = [step] if step else []

    done = bench.imports(content, *steps)

    assert done.report["error"]["code"] == "unsupported-format"
    bench.assert_refused(done, 5, message, hint + STORED_AS_RAW)
    bench.assert_stored(bench.imports(content, *steps, arguments=("--disk-format", "raw")), content)


@pytest.mark.parametrize("step", [RAW, None])
def test_each_image_that_cannot_be_imported_has_its_own_advice(
    step: dict[str, object] | None, disk: Path, bench: Bench
) -> None:
    convert = "convert it with 'qemu-img convert"
    converted(disk, "split.vmdk", "-O", "vmdk", "-o", "subformat=twoGbMaxExtentSparse")
    cases = (
        (converted(disk, "a.qcow", "-O", "qcow"), "qcow2", "not supported: it is a qcow disk of version 1",
         f"{convert} -f qcow -O qcow2' and import the result"),
        (converted(disk, "a.qed", "-O", "qed"), "qed", "not supported: it is a disk of an older format",
         f"{convert} -O qcow2' and import the result"),
        (converted(disk, "flat.vmdk", "-O", "vmdk", "-o", "subformat=monolithicFlat"), "vmdk",
         "not safe: it is a descriptor, a small text file that refers to other files",
         "the disk is in the files that it names: import a file NAME-flat.vmdk as raw, or export the disk as "
         "streamOptimized"),
        (disk.with_name("split-s001.vmdk"), "vmdk", "not supported: it is one extent of a split disk",
         "join all extents with 'qemu-img convert -O qcow2 NAME.vmdk', NAME.vmdk being the descriptor, "
         "and import that"),
    )  # fmt: skip
    for path, name, message, hint in cases:
        done = bench.imports(path, *([step] if step else []))
        bench.assert_refused(done, 5, f"the image ({name}) is {message}", hint)


@pytest.mark.parametrize("step", [RAW, None])
@pytest.mark.parametrize("declared", [(), ("--disk-format", "raw")])
def test_a_vmdk_descriptor_whose_type_comes_late_is_refused(
    declared: tuple[str, ...], step: dict[str, object] | None, bench: Bench
) -> None:
    text = f"# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\n#{'x' * (70 << 10)}\n"
    text += 'createType="monolithicFlat"\nRW 1 FLAT "/etc/hostname" 0\n'

    done = bench.imports(text.encode().ljust(1 << 17, b"#"), *([step] if step else []), arguments=declared)

    bench.assert_refused(
        done,
        5,
        "the image (vmdk) is not safe: it is a descriptor, a small text file that refers to other files",
        "the disk is in the files that it names: import a file NAME-flat.vmdk as raw, or export the disk as "
        "streamOptimized",
    )


@pytest.mark.parametrize("step", [RAW, None])
@pytest.mark.parametrize("declared", [(), ("--disk-format", "raw")])
@pytest.mark.parametrize(
    ("start", "driver", "what"),
    [
        (b"WithoutFreeSpace", "parallels", "a Parallels disk"),
        (b"WithouFreSpacExt", "parallels", "a Parallels disk"),
        (b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop file=$0\n", "cloop", "a cloop image"),
        (b"Bochs Virtual HD Image", "bochs", "a Bochs disk"),
    ],
)
def test_a_file_that_qemu_takes_for_another_format_is_not_a_raw_disk(
    start: bytes,
    driver: str,
    what: str,
    declared: tuple[str, ...],
    step: dict[str, object] | None,
    bench: Bench,
) -> None:
    bench.assert_refused(
        bench.imports(start.ljust(1 << 17, b"\0"), *([step] if step else []), arguments=declared),
        5,
        f"the image is {what}",
        f"convert it with 'qemu-img convert -f {driver} -O qcow2' and import the result",
    )


def iso_image(size: int, blocks: int) -> bytes:
    """Return an ISO 9660 file system of *blocks* of 2 KiB in a file of *size* bytes."""
    content = bytearray(size)
    content[32768:32775] = b"\x01CD001\x01"
    struct.pack_into("<I", content, 32768 + 80, blocks)
    struct.pack_into(">I", content, 32768 + 84, blocks)
    struct.pack_into("<H", content, 32768 + 128, 2048)
    content[34816:34823] = b"\xffCD001\x01"
    content[-4:] = b"END\n"
    return bytes(content)


@pytest.mark.parametrize("step", [RAW, None])
def test_the_virtual_size_of_an_iso_is_that_of_its_file(step: dict[str, object] | None, bench: Bench) -> None:
    content = iso_image(3 * MIB, 512)

    done = bench.imports(content, *([step] if step else []))

    assert (done.report["image"]["disk_format"], done.report["image"]["virtual_size"]) == ("iso", 3 * MIB)
    bench.assert_stored(done, content)


def test_an_iso_that_was_cut_off_is_refused(bench: Bench) -> None:
    content = iso_image(MIB, 1000)

    bench.assert_refused(
        bench.imports(content),
        5,
        f"the image (iso) is damaged: it is not whole: the file has {MIB} bytes, and its volume 2048000"
        f" ({2048000 - MIB} bytes are missing)",
        FETCH_AGAIN,
    )


@pytest.mark.parametrize("wrapping", ["raw", "qcow2", "vmdk", "vdi", "vhdx"])
def test_an_iso_that_boots_from_a_disk_too_is_imported_in_every_wrapping(
    wrapping: str, tmp_path: Path, bench: Bench
) -> None:
    content = bytearray(iso_image(3 * MIB, 512))
    content[446:462] = bytes([0x80, 0, 2, 0, 0xCD, 0xFF, 0xFF, 0xFF]) + struct.pack("<II", 1, 6000)
    content[510:512] = b"\x55\xaa"
    hybrid = tmp_path / "hybrid.iso"
    hybrid.write_bytes(content)
    wrapped = hybrid if wrapping == "raw" else converted(hybrid, f"disk.{wrapping}", "-O", wrapping)
    declared = ("--disk-format", "raw") if wrapping == "raw" else ()

    done = bench.imports(wrapped, RAW, arguments=declared)

    assert (done.report["image"]["disk_format"], done.report["image"]["virtual_size"]) == ("raw", 3 * MIB)
    bench.assert_stored(done, bytes(content))


def test_a_disk_above_the_cap_is_refused_where_it_is_not_converted_too(tmp_path: Path, bench: Bench) -> None:
    path = tmp_path / "huge.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "2T"], check=True)

    for steps in ((), (QCOW2,), (RAW,)):
        bench.assert_refused(
            bench.imports(path, *steps),
            1,
            "the disk in the image has 2.0 TiB; the limit is 1.0 TiB",
            "raise limits.image_size_cap in the site file if images this large are expected",
        )


@pytest.mark.parametrize("table", [40, 48])
def test_a_qcow2_whose_tables_are_behind_its_end_is_refused(table: int, disk: Path, bench: Bench) -> None:
    content = bytearray(converted(disk, "disk.qcow2", "-O", "qcow2").read_bytes())
    content[table : table + 8] = struct.pack(">Q", 1 << 30)

    done = bench.imports(bytes(content))

    error = done.report["error"]
    assert error["message"].startswith(
        f"the image (qcow2) is damaged: it is not whole: the file has {len(content)} bytes, and the image needs 107"
    )
    bench.assert_refused(done, 5, error["message"], FETCH_AGAIN)


def test_an_image_whose_table_comes_last_is_judged_as_a_file(disk: Path, bench: Bench) -> None:
    whole = converted(disk, "disk.qcow2", "-O", "qcow2").read_bytes()
    # The first table moves behind all data, with its reference count.
    content = bytearray(whole)
    [entries], [old] = struct.unpack_from(">I", whole, 36), struct.unpack_from(">Q", whole, 40)
    content += bytes(-len(content) % 65536)
    new = len(content)
    table = whole[old : old + 8 * entries]
    content += bytes(9 * MIB) + table.ljust(65536, b"\0")
    new += 9 * MIB
    struct.pack_into(">Q", content, 40, new)
    struct.pack_into(">H", content, 2 * 65536 + 2 * (new >> 16), 1)
    struct.pack_into(">H", content, 2 * 65536 + 2 * (old >> 16), 0)
    path = disk.with_name("moved.qcow2")
    path.write_bytes(content)
    checked = subprocess.run(["qemu-img", "check", "--output=json", path], check=False, capture_output=True)
    assert json.loads(checked.stdout).get("corruptions", 0) == 0

    bench.assert_refused(
        bench.imports(bytes(content[:-65536])), 5,
        not_whole("qcow2", len(content) - 65536, new + 8 * entries), FETCH_AGAIN,
    )  # fmt: skip
    bench.assert_stored(bench.imports(path), bytes(content))


def with_gpt(disk: bytes, sector: int, *, last: int) -> bytes:
    """Return *disk* with a GPT for sectors of this size, one partition up to the sector *last*, and no backup."""
    entries = (b"K" * 16 + b"U" * 16 + struct.pack("<QQ", 64, last)).ljust(128 * 128, b"\0")
    places = (1, len(disk) // sector - 1, 40, len(disk) // sector - 34, b"D" * 16, 2)
    header = struct.pack(
        "<8sIIIIQQQQ16sQIII", b"EFI PART", 1 << 16, 92, 0, 0, *places, 128, 128, zlib.crc32(entries)
    )
    header = header[:16] + struct.pack("<I", zlib.crc32(header)) + header[20:]
    content = bytearray(disk)
    content[446:462] = bytes([0, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF]) + struct.pack("<II", 1, 0xFFFFFFFF)
    content[510:512] = b"\x55\xaa"
    content[sector : sector + 92] = header
    content[2 * sector : 2 * sector + len(entries)] = entries
    return bytes(content)


def with_mbr(disk: bytes) -> bytes:
    """Return *disk* with a boot record that gives all of it but the first sectors to one partition."""
    content = bytearray(disk)
    content[446:510] = (
        bytes([0x80, 0, 2, 0, 0x83, 9, 9, 9]) + struct.pack("<II", 64, len(disk) // 512 - 64)
    ).ljust(64, b"\0")
    content[510:512] = b"\x55\xaa"
    return bytes(content)


@pytest.mark.parametrize("step", [RAW, QCOW2, None])
@pytest.mark.parametrize("table", ["MBR", "GPT", "GPT of 4 KiB sectors", "partition of a GPT"])
def test_a_partitioned_disk_that_was_cut_off_is_imported_with_a_warning(
    step: dict[str, object] | None, table: str, disk: Path, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    size, content = 8 * MIB, disk.read_bytes()
    whole = {
        "MBR": with_mbr(content),
        "GPT": with_gpt(content, 512, last=8000),
        "GPT of 4 KiB sectors": with_gpt(content, 4096, last=1000),
        "partition of a GPT": with_gpt(content, 512, last=16400),
    }[table]
    needed = 16401 * 512 if table == "partition of a GPT" else size
    steps = [step] if step else []
    if needed == size:
        assert bench.imports(whole, *steps).exit_code == 0
        assert "cut off" not in caplog.text

    done = bench.imports(whole[: 5 * MIB], *steps)

    assert done.exit_code == 0, done.report["error"]
    assert [message for message in caplog.messages if "cut off" in message] == [
        f"the image may be cut off: its partition table is for a disk of {needed} bytes, and it has {5 * MIB}"
    ]


@pytest.mark.parametrize("step", [RAW, None])
def test_an_iso_that_lost_what_follows_its_file_system_is_imported_with_a_warning(
    step: dict[str, object] | None, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    whole = bytearray(iso_image(3 * MIB, 512))
    whole[446:462] = bytes([0x80, 0, 2, 0, 0xCD, 0xFF, 0xFF, 0xFF]) + struct.pack("<II", 0, 6144)
    whole[510:512] = b"\x55\xaa"
    steps = [step] if step else []
    bench.assert_stored(bench.imports(bytes(whole), *steps), bytes(whole))
    assert "cut off" not in caplog.text

    bench.assert_stored(bench.imports(bytes(whole[: 2 * MIB]), *steps), bytes(whole[: 2 * MIB]))

    assert [message for message in caplog.messages if "cut off" in message] == [
        f"the image may be cut off: its partition table is for a disk of {3 * MIB} bytes, and it has {2 * MIB}"
    ]


@pytest.mark.parametrize("step", [RAW, QCOW2, None])
def test_a_raw_disk_that_ends_inside_a_sector_is_imported_with_a_warning(
    step: dict[str, object] | None, disk: Path, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    done = bench.imports(disk.read_bytes()[:-100], *([step] if step else []))

    assert done.exit_code == 0, done.report["error"]
    assert [message for message in caplog.messages if "cut off" in message] == [
        f"the image may be cut off: it has {8 * MIB - 100} bytes, which is not a multiple of the sector size of 512 "
        "bytes"
    ]


@pytest.mark.parametrize("step", [RAW, None])
def test_a_fixed_vhd_that_lost_a_part_of_its_footer_is_imported_with_a_warning(
    step: dict[str, object] | None, disk: Path, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    whole = converted(disk, "disk.vhd", "-O", "vpc", "-o", "subformat=fixed,force_size=on")

    done = bench.imports(cut(whole, 100), *([step] if step else []))

    assert "the image may be cut off: " in caplog.text
    bench.assert_stored(done, cut(whole, 100))
    bench.assert_refused(
        bench.imports(cut(whole, 100), arguments=("--disk-format", "vhd")),
        5,
        "disk_format is vhd, but the image is raw",
        "declare --disk-format raw if that is what you want to import",
    )


DAMAGED = "get the image again; if it is the same, export it anew where it was made"
OTHER_FILE = (
    "merge it into one file with 'qemu-img convert -O qcow2' where the other files are, and import that"
)


@pytest.mark.parametrize(
    ("driver", "place", "value", "message", "hint"),
    [
        ("qcow2", 32, struct.pack(">I", 2), "damaged: it is encrypted with LUKS, and has no keys", DAMAGED),
        (
            "qcow2",
            24,
            struct.pack(">Q", 8 * MIB - 1),
            "damaged: the size in its header, 8388607 bytes, is not a multiple of the sector size",
            DAMAGED,
        ),
        (
            "vdi",
            76,
            struct.pack("<I", 3),
            "not safe: it is a differencing disk: the rest of the disk is in another file",
            OTHER_FILE,
        ),
        (
            "vdi",
            76,
            struct.pack("<I", 4),
            "not safe: it is a differencing disk: the rest of the disk is in another file",
            OTHER_FILE,
        ),
        (
            "vdi",
            76,
            struct.pack("<I", 9),
            "not supported: its header gives it the unknown type 9",
            "convert it with 'qemu-img convert -O vdi' anew",
        ),
    ],
    ids=["LUKS without keys", "size", "undo", "differencing", "unknown type"],
)
@pytest.mark.parametrize("step", [RAW, None])
def test_a_header_that_no_program_writes_for_a_whole_disk_is_refused(
    step: dict[str, object] | None,
    driver: str,
    place: int,
    value: bytes,
    message: str,
    hint: str,
    disk: Path,
    bench: Bench,
) -> None:
    content = bytearray(converted(disk, f"disk.{driver}", "-O", driver).read_bytes())
    content[place : place + len(value)] = value

    bench.assert_refused(
        bench.imports(bytes(content), *([step] if step else [])),
        5,
        f"the image ({driver}) is {message}",
        hint,
    )


@pytest.mark.parametrize(("compat", "length"), [("0.10", 72), ("1.1", 112)])
def test_a_qcow2_that_is_encrypted_with_luks_is_stored(
    compat: str, length: int, disk: Path, bench: Bench
) -> None:
    whole = converted(disk, "disk.qcow2", "-O", "qcow2", "-o", f"compat={compat}").read_bytes()
    whole += bytes(-len(whole) % 65536)
    keys = struct.pack(">IIQQ", 0x0537BE77, 16, len(whole), 65536)
    content = bytearray(whole + b"LUKS\xba\xbe".ljust(65536, b"\0"))
    content[32:36] = struct.pack(">I", 2)
    content[length:65536] = (keys + whole[length:65536])[: 65536 - length]

    bench.assert_stored(bench.imports(bytes(content)), bytes(content))
    bench.assert_refused(
        bench.imports(bytes(content[:-1])), 5, not_whole("qcow2", len(content) - 1, len(content)), FETCH_AGAIN
    )
