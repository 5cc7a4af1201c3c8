from __future__ import annotations

import contextlib
import random
import struct
import subprocess
import uuid
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageport import ImageportError, VerificationFailed
from imageport.dataplane import FormatInspection, ImageFormat, inspect_file
from imageport.dataplane.buffers import ZERO_CHUNK
from imageport.dataplane.inspection import needs_file

DISK_SIZE = 1 << 20

#: What the entry of the metadata is called in the region table of a vhdx.
METADATA_REGION = uuid.UUID("8B7CA206-4790-4B9A-B8FE-575F050F886E")

#: Name, options of qemu-img convert, and what is found.
KINDS = {
    "qcow2": ("-O qcow2", "qcow2"),
    "qcow2-v2": ("-O qcow2 -o compat=0.10", "qcow2"),
    "qcow2-extended-l2": ("-O qcow2 -o extended_l2=on", "qcow2"),
    "vmdk-sparse": ("-O vmdk -o subformat=monolithicSparse", "vmdk"),
    "vmdk-stream": ("-O vmdk -o subformat=streamOptimized", "vmdk"),
    "vdi": ("-O vdi", "vdi"),
    "vhd-dynamic": ("-O vpc -o subformat=dynamic,force_size=on", "vhd"),
    "vhd-fixed": ("-O vpc -o subformat=fixed,force_size=on", "vhd"),
    "vhdx": ("-O vhdx", "vhdx"),
}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Real images of a disk of random bytes, and an iso."""
    folder = tmp_path_factory.mktemp("inspection")
    disk = folder / "disk.raw"
    disk.write_bytes(random.Random(7).randbytes(DISK_SIZE))
    made = {"raw": disk.read_bytes()}
    for name, (options, _) in KINDS.items():
        path = folder / name
        subprocess.run(["qemu-img", "convert", "-f", "raw", *options.split(), disk, path], check=True)
        made[name] = path.read_bytes()
    (folder / "tree").mkdir()
    subprocess.run(["genisoimage", "-quiet", "-o", folder / "iso", folder / "tree"], check=True)
    made["iso"] = (folder / "iso").read_bytes()
    return made


def inspect(content: bytes, cut: int = 1 << 20) -> ImageFormat:
    inspection = FormatInspection()
    for start in range(0, len(content), cut):
        inspection.feed(content[start : start + cut])
    return inspection.finish()


def with_boot_record(content: bytes, *entries: bytes) -> bytes:
    table = b"".join(entries).ljust(64, b"\0")
    return content[:446] + table + b"\x55\xaa" + content[512:]


def entry(kind: int, *, flag: int = 0, start: int = 1, start_chs: bytes = b"\0\2\0") -> bytes:
    return bytes([flag]) + start_chs + bytes([kind, 0xFE, 0xFF, 0xFF]) + struct.pack("<II", start, 2000)


@pytest.mark.parametrize("name", KINDS)
def test_an_image_is_found_to_be_what_it_was_made_as(
    name: str, images: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "image"
    path.write_bytes(images[name])
    expected = ImageFormat(KINDS[name][1], DISK_SIZE)

    assert inspect_file(path) == expected
    if not needs_file(images[name]):
        assert inspect(images[name]) == expected


@pytest.mark.parametrize("content", [b"", b"\0", b"just a few bytes", bytes(3 << 20), b"text\n" * 40_000])
def test_anything_else_is_raw_and_as_large_as_it_is(content: bytes) -> None:
    found = inspect(content)

    assert (found.name, found.virtual_size, found.faults) == ("raw", len(content), ())


def test_chunks_known_to_be_zero_count_as_zeros() -> None:
    inspection = FormatInspection()
    for _ in range(5):
        inspection.feed(ZERO_CHUNK)

    assert inspection.finish() == ImageFormat("raw", 5 * len(ZERO_CHUNK))


@pytest.mark.parametrize("appended", [0, 4096])
def test_an_iso_is_as_large_as_its_file(appended: int, images: dict[str, bytes]) -> None:
    content = images["iso"] + bytes(appended)

    assert inspect(content) == ImageFormat("iso", len(content))


def test_an_iso_that_was_cut_off_is_damaged(images: dict[str, bytes]) -> None:
    volume = 2048 * int.from_bytes(images["iso"][32768 + 80 : 32768 + 84], "little")

    [fault] = inspect(images["iso"][: volume - 100]).faults

    assert (fault.kind, fault.reason) == (
        "damaged",
        f"it is not whole: the file has {volume - 100} bytes, and its volume {volume} (100 bytes are missing)",
    )


def test_an_iso_with_a_partition_table_is_an_iso(images: dict[str, bytes]) -> None:
    found = inspect(with_boot_record(images["iso"], entry(0x83)))

    assert (found.name, found.is_hybrid) == ("iso", True)
    assert not inspect(images["iso"]).is_hybrid


@pytest.mark.parametrize("kind", [0x83, 0xEE])
def test_a_partitioned_disk_is_recorded_as_raw(kind: int) -> None:
    found = inspect(with_boot_record(bytes(DISK_SIZE), entry(kind)))

    assert found == ImageFormat("gpt", DISK_SIZE)
    assert found.disk_format == "raw"


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ([entry(0x83, flag=0x77)], "partition 1 has an invalid boot flag (0x77;"),
        ([entry(0xEE), entry(0x83)], "it has invalid extra partitions beside the entry that protects a GPT"),
        ([entry(0xEE, start=9)], "invalid start LBA (9 instead of 1)"),
        ([entry(0xEE, start_chs=b"\1\1\1")], "invalid start CHS (1/1/1 instead of 0/2/0)"),
    ],
)
def test_a_partition_table_that_makes_no_sense_is_not_safe(entries: list[bytes], reason: str) -> None:
    [fault] = inspect(with_boot_record(bytes(DISK_SIZE), *entries)).faults
    assert (fault.check, fault.kind) == ("mbr", "unsafe")
    assert reason in fault.reason
    assert "gpt_safety_checks_nonfatal: [mbr]" in fault.hint


def test_a_fixed_vhd_is_known_by_its_footer_even_when_the_disk_is_partitioned(
    images: dict[str, bytes],
) -> None:
    partitioned = with_boot_record(images["vhd-fixed"], entry(0x83))

    assert inspect(partitioned) == ImageFormat("vhd", DISK_SIZE)


@pytest.mark.parametrize(
    ("offset", "value", "reason"),
    [
        (
            48,
            b"\0\0\0\0\0\0\2\0",
            f"its footer gives a disk of 512 bytes, and there are {DISK_SIZE} in front of it",
        ),
        (60, b"\0\0\0\3", "its first sector is not the copy of its footer"),
        (64, b"\0\0\0\0", "the checksum of its footer is wrong"),
    ],
    ids=["size", "type", "checksum"],
)
def test_a_footer_that_is_not_quite_right_is_damage(
    offset: int, value: bytes, reason: str, images: dict[str, bytes]
) -> None:
    content = bytearray(images["vhd-fixed"])
    start = len(content) - 512 + offset
    content[start : start + len(value)] = value
    if offset != 64:
        footer = content[-512:]
        content[-448:-444] = struct.pack(">I", ~(sum(footer) - sum(footer[64:68])) & 0xFFFFFFFF)

    found = inspect(bytes(content))

    assert found.name == "vhd"
    [fault] = found.faults
    assert fault.reason.startswith(reason)


def test_an_end_that_is_not_a_footer_makes_no_vhd(images: dict[str, bytes]) -> None:
    content = images["vhd-fixed"].replace(b"conectix", b"CONECTIX")

    assert inspect(content) == ImageFormat("raw", len(content))


def test_two_footers_that_disagree_are_named_with_both_values(images: dict[str, bytes]) -> None:
    content = bytearray(images["vhd-dynamic"])
    content[48:56] = struct.pack(">Q", DISK_SIZE // 2)
    content[64:68] = struct.pack(">I", ~(sum(content[:512]) - sum(content[64:68])) & 0xFFFFFFFF)

    [fault] = inspect(bytes(content)).faults

    assert fault.reason == (
        f"its footer gives current size {DISK_SIZE}, and the copy of the footer {DISK_SIZE // 2}"
    )


def test_two_formats_at_once_are_refused(images: dict[str, bytes]) -> None:
    for both in (
        images["qcow2"][:512] + images["iso"][512:],
        with_boot_record(images["qcow2"], entry(0x83)),
        images["iso"].ljust(DISK_SIZE, b"\0") + images["vhd-fixed"][-512:],
    ):
        with pytest.raises(VerificationFailed, match="several formats at once") as refusal:
            inspect(both)
        assert refusal.value.hint


@pytest.mark.parametrize(
    ("offset", "value", "kind", "reason"),
    [
        (8, struct.pack(">Q", 4096), "unsafe", "it has a backing file, which holds the rest of the disk"),
        (79, b"\x04", "unsafe", "it has an external data file, which holds the disk"),
        (79, b"\x20", "unsupported", "it uses features of qcow2 that are unknown here"),
        (4, struct.pack(">I", 1), "unsupported", "it is a qcow disk of version 1"),
        (4, struct.pack(">I", 9), "unsupported", "it uses features of qcow2 that are unknown here"),
    ],
)
def test_a_qcow2_that_reaches_outside_or_is_unknown_is_refused(
    offset: int, value: bytes, kind: str, reason: str, images: dict[str, bytes]
) -> None:
    content = bytearray(images["qcow2"])
    content[offset : offset + len(value)] = value

    found = inspect(bytes(content))
    assert found.name == "qcow2"
    assert [(fault.kind, fault.reason) for fault in found.faults] == [(kind, reason)]


@pytest.mark.parametrize(
    "text",
    [
        '# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 1 FLAT "/etc/passwd" 0\n',
        'version=1\nCREATETYPE="vmfs"\n',
        '# é\nversion=1\ncreateType="twoGbMaxExtentFlat"\n' + "#" * 100_000,
    ],
)
@pytest.mark.parametrize("padding", [0, 512, 4096])
def test_a_bare_vmdk_descriptor_is_not_safe(text: str, padding: int) -> None:
    found = inspect(text.encode() + bytes(padding), cut=20)

    assert found.name == "vmdk"
    assert found.unsafe == ("it is a descriptor, a small text file that refers to other files",)


def test_a_header_that_is_shorter_than_a_sector_is_seen(images: dict[str, bytes]) -> None:
    header = bytearray(images["qcow2"][:104])
    header[8:16] = struct.pack(">Q", 90)

    assert inspect(bytes(header)).unsafe == ("it has a backing file, which holds the rest of the disk",)


def test_a_luks_volume_is_as_large_as_its_payload() -> None:
    header = b"LUKS\xba\xbe\0\1".ljust(104, b"\0") + struct.pack(">I", 2048)

    assert inspect(header.ljust(3 << 20, b"\0")) == ImageFormat("luks", 2 << 20)
    fault, _ = inspect(header.ljust(1000, b"\0")).faults
    assert "the file has 1000 bytes, and the image needs 1048576" in fault.reason


@pytest.mark.parametrize("name", ["vhdx", "vmdk-sparse"])
def test_an_image_that_ends_before_its_header_does_is_refused(name: str, images: dict[str, bytes]) -> None:
    found = inspect(images[name][:1000])

    assert found.name == KINDS[name][1]
    assert found.faults


def test_metadata_that_never_comes_is_not_waited_for(images: dict[str, bytes]) -> None:
    content = bytearray(images["vhdx"][: 1 << 20])
    place = content.index(METADATA_REGION.bytes_le, 192 << 10) + 16
    content[place : place + 8] = struct.pack("<Q", 1 << 40)
    inspection = FormatInspection()
    inspection.feed(bytes(content))
    assert inspection.needs_more

    for _ in range(63):
        inspection.feed(ZERO_CHUNK)

    assert not inspection.needs_more
    assert inspection.finish().faults


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_headers_never_raise_anything_unexpected(
    data: st.DataObject, images: dict[str, bytes], tmp_path: Path
) -> None:
    content = bytearray(images[data.draw(st.sampled_from(sorted(images)))][: 4 << 20])
    # Headers, the VHDX region table and metadata, the end.
    places = st.sampled_from([0, 512, 192 << 10, 2 << 20, (2 << 20) + (64 << 10), len(content) - 1536])
    for place in data.draw(st.lists(places, max_size=4)):
        damage = data.draw(st.binary(min_size=1, max_size=64))
        start = min(max(0, place + data.draw(st.integers(0, 600))), len(content))
        content[start : start + len(damage)] = damage
    del content[data.draw(st.integers(0, len(content))) :]
    path = tmp_path / "damaged"
    path.write_bytes(content)

    with contextlib.suppress(ImageportError):
        found = inspect_file(path)
        assert found.virtual_size is None or 0 <= found.virtual_size < 1 << 63


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_the_verdict_does_not_depend_on_how_the_bytes_are_cut(
    data: st.DataObject, images: dict[str, bytes]
) -> None:
    content = images[data.draw(st.sampled_from(sorted(images)))]
    inspection = FormatInspection()
    start = 0
    for length in data.draw(st.lists(st.integers(0, 200_000), max_size=12)):
        inspection.feed(content[start : start + length])
        start += length
    inspection.feed(content[start:])

    assert inspection.finish() == inspect(content)
