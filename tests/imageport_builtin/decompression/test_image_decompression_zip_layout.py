"""A zip holds most facts twice; one that contradicts itself is refused, for programs find different images in it."""

from __future__ import annotations

import io
import struct
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from imageport import VerificationFailed

Unpack = Callable[..., bytes]

DISK = b"the disk" * 500


def whole(*, large: bool = False) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(zipfile.ZipInfo("folder/"), b"")
        with archive.open(zipfile.ZipInfo("folder/disk.raw"), "w", force_zip64=large) as member:
            member.write(DISK)
    return target.getvalue()


def changed(data: bytes, signature: bytes, offset: int, value: bytes) -> bytes:
    """Overwrite a field of the last record with this *signature*."""
    place = data.rindex(signature) + offset
    return data[:place] + value + data[place + len(value) :]


def twins() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr(zipfile.ZipInfo("a"), DISK)
        archive.writestr(zipfile.ZipInfo("b"), DISK)
    return target.getvalue()


LOCAL, LISTED, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
DIFFER = r"'folder/disk\.raw' is damaged at byte 37: its header and the list of members differ"

CONTRADICTIONS = {
    "method": (changed(whole(), LOCAL, 8, b"\x08"), DIFFER),
    "flags": (changed(whole(), LOCAL, 6, b"\x01"), DIFFER),
    "CRC": (changed(whole(), LOCAL, 14, b"\0\0\0\0"), DIFFER),
    "size": (changed(whole(), LOCAL, 22, b"\1\0\0\0"), DIFFER),
    "size in 64 bits": (changed(whole(large=True), LOCAL, 30 + 15 + 4, b"\1"), DIFFER),
    "header of another member": (whole()[:14] + b"\1" + whole()[15:], r"'folder/' is damaged at byte 0"),
    "folder that is a file": (
        changed(whole(), LISTED, 41, b"\x40"),
        r"'folder/disk\.raw' is a link, a device or the like",
    ),
    "two members in one place": (
        changed(changed(twins(), LISTED, 42, b"\0\0\0\0"), LISTED, 46, b"a"),
        "another member is there, too",
    ),
    "part": (changed(whole(), LISTED, 34, b"\x08"), "it begins in another part"),
    "length": (
        changed(
            changed(whole(), LISTED, 20, struct.pack("<II", 5000, 5000)),
            LOCAL,
            18,
            struct.pack("<II", 5000, 5000),
        ),
        "it reaches into the list of members",
    ),
    "number of members": (
        changed(whole(), END, 8, b"\1\0\1\0"),
        r"it has 2 members from byte \d+ on, and should",
    ),
    "numbers of members": (changed(whole(), END, 8, b"\1\0\2\0"), "1 and 2 members are announced"),
    "part of the list": (changed(whole(), END, 6, b"\0\x80"), "it should be in part 32769 of one"),
    "flags of a folder": (
        changed(whole(), LISTED + b"\x14\x03\x14\0\0\0\0\0\0\0!\0\0\0\0\0", 8, b"\1"),
        r"'folder/' is damaged at byte 0: its header",
    ),
    "length of a name": (changed(whole(), LISTED, 28, b"\x30"), "the list of members is damaged"),
    "archive in front": (whole() + whole(), "the list of members is damaged"),
    "gap before the list": (
        whole()[: whole().index(LISTED)] + b"gap" + whole()[whole().index(LISTED) :],
        "the list of members is damaged",
    ),
    "comment": (changed(whole(), END, 20, b"\x09\0"), r"the archive is cut off after \d+ of \d+ bytes"),
    "bytes behind the end": (whole() + b"noise", r"5 bytes follow the end of the archive at byte \d+"),
}


@pytest.mark.parametrize("contradiction", CONTRADICTIONS)
def test_a_zip_that_contradicts_itself_is_refused(contradiction: str, unpack: Unpack) -> None:
    packed, message = CONTRADICTIONS[contradiction]
    with pytest.raises(VerificationFailed, match=f"zip: {message}|zip: .*{message}"):
        unpack(packed)


@pytest.mark.parametrize("large", [False, True])
def test_a_zip_without_contradictions_is_read(large: bool, unpack: Unpack) -> None:
    assert unpack(whole(large=large)) == DISK
    assert unpack(whole() + b"noise", trailing_bytes="ignore") == DISK


def test_a_zip_in_64_bits_is_read_and_its_second_end_is_compared(unpack: Unpack, tmp_path: Path) -> None:
    (tmp_path / "disk.raw").write_bytes(DISK)
    subprocess.run(["zip", "-q", "-fz", "out.zip", "disk.raw"], cwd=tmp_path, check=True)
    packed = (tmp_path / "out.zip").read_bytes()

    assert unpack(packed) == DISK
    for offset in (16, 20, 24, 32, 48):
        with pytest.raises(VerificationFailed, match="zip: the list of members is damaged"):
            unpack(changed(packed, b"PK\x06\x06", offset, b"\x07"))
    with pytest.raises(VerificationFailed, match="zip: the list of members is damaged"):
        unpack(changed(packed, b"PK\x06\x07", 8, b"\x07"))
