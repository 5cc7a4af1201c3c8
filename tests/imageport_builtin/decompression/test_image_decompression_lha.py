"""LHA archives of every level unpack to what lhasa unpacks them to, or are refused by name."""

from __future__ import annotations

import io
import random
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import lha_writer as lha

from imageport import UnsupportedFormat, VerificationFailed
from imageport_builtin.unpacking.lha_header import looks_like_lha, read_entries

Pack = Callable[..., bytes]
Unpack = Callable[..., bytes]

LEVELS = [0, 1, 2, 3]
DISK = random.Random(5).randbytes(5000) + bytes(5000)


def lhasa(packed: bytes, folder: Path) -> bytes:
    (folder / "packed.lzh").write_bytes(packed)
    return subprocess.run(["lhasa", "-pq", "packed.lzh"], cwd=folder, check=True, capture_output=True).stdout


@pytest.mark.parametrize("method", ["o5", "o6", "o7", "z"])
@pytest.mark.parametrize("level", "012")
def test_what_jlha_packs_comes_out_as_from_lhasa(
    level: str, method: str, pack: Pack, unpack: Unpack, small: bytes, tmp_path: Path
) -> None:
    packed = pack("lha", small, f"a{level}{method}")

    assert unpack(packed) == lhasa(packed, tmp_path) == small


@pytest.mark.parametrize("method", [b"-lh0-", b"-lz4-", b"-pm0-"])
@pytest.mark.parametrize("level", LEVELS)
def test_members_that_are_only_stored_are_read(
    level: int, method: bytes, unpack: Unpack, tmp_path: Path
) -> None:
    packed = lha.member(level, b"DISK.IMG", DISK, method=method, folder=b"d\xff") + lha.END

    assert unpack(packed) == lhasa(packed, tmp_path) == DISK


@pytest.mark.parametrize("level", LEVELS)
def test_a_pattern_sees_folder_and_name(level: int, unpack: Unpack) -> None:
    packed = lha.member(level, b"disk.img", DISK, folder=b"images\xffsmall\xff")
    packed += lha.member(level, b"README", b"read me", folder=b"images\xff") + lha.END

    assert unpack(packed, member="images/small/disk.img") == DISK
    assert unpack(packed, member="README") == b"read me"
    with pytest.raises(VerificationFailed, match=r"'images/small/disk\.img', 'images/README'"):
        unpack(packed)


def names(packed: bytes) -> list[str]:
    return [entry.name for entry in read_entries(io.BytesIO(packed))]


def test_names_may_be_in_unicode_or_japanese() -> None:
    code_page = (0x46, struct.pack("<I", 932))
    unicode_name = (0x44, "ディスク.img".encode("utf-16-le"))
    unicode_folder = (0x45, "像".encode("utf-16-le") + b"\xff\xff")
    packed = lha.member(2, "ディスク.img".encode("cp932"), DISK)
    packed += lha.member(1, b"", DISK, extensions=((0x01, "ディスク.img".encode("cp932")), code_page))
    packed += lha.member(2, b"?", DISK, extensions=(unicode_name, unicode_folder))
    packed += lha.member(2, "Ä.img".encode(), DISK)

    assert names(packed) == ["ディスク.img", "ディスク.img", "像/ディスク.img", "Ä.img"]


def test_a_comment_behind_a_name_is_left_out() -> None:
    assert names(lha.member(0, b"disk.img\0made yesterday", DISK)) == ["disk.img"]


def test_sizes_of_64_bits_are_read() -> None:
    sizes = (0x42, struct.pack("<QQ", len(DISK), 5 << 32))
    [entry] = read_entries(io.BytesIO(lha.member(2, b"disk.img", DISK, extensions=(sizes,))))

    assert (entry.packed, entry.size) == (len(DISK), 5 << 32)


def test_a_header_of_os_9_68k_does_not_count_its_length() -> None:
    packed = bytearray(lha.member(2, b"disk.img", DISK, system=b"K", with_crc=False))
    packed[:2] = struct.pack("<H", int.from_bytes(packed[:2], "little") - 2)
    [entry] = read_entries(io.BytesIO(bytes(packed)))

    assert packed[entry.offset :] == DISK


@pytest.mark.parametrize("level", LEVELS)
def test_folders_do_not_count(level: int, unpack: Unpack) -> None:
    folder = lha.member(level, b"", b"", method=b"-lhd-", folder=b"images\xff")
    empty_of_amiga = lha.member(level, b"", b"", folder=b"empty\xff", system=b"A") if level else b""
    disk = lha.member(level, b"disk.img", DISK, folder=b"images\xff")

    assert unpack(folder + empty_of_amiga + disk + lha.END) == DISK


def test_links_are_refused(unpack: Unpack) -> None:
    mode = (0x50, struct.pack("<H", 0o120777))
    packed = lha.member(2, b"disk.img|/etc/passwd", b"", method=b"-lhd-", extensions=(mode,)) + lha.END

    with pytest.raises(VerificationFailed, match=r"'disk.img|/etc/passwd' is a link, a device or the like"):
        unpack(packed)


@pytest.mark.parametrize("method", [b"lh1", b"lh2", b"lh3", b"lhx", b"lz5", b"lzs", b"pm1", b"pm2"])
@pytest.mark.parametrize("level", LEVELS)
def test_methods_that_cannot_be_read_are_named(level: int, method: bytes, unpack: Unpack) -> None:
    packed = lha.member(level, b"disk.img", DISK, packed=b"packed", method=b"-%s-" % method) + lha.END

    with pytest.raises(UnsupportedFormat) as caught:
        unpack(packed)

    letters = method.decode()
    assert caught.value.message == (
        f"lha: 'disk.img' cannot be unpacked here: LHA method -{letters}- is not supported"
    )
    program = "the program that made it" if letters in ("lh2", "lh3") else "lhasa ('lha x')"
    assert caught.value.hint == f"unpack it with {program} and import the result"


def test_the_other_lh7_of_lhark_is_named(unpack: Unpack) -> None:
    packed = lha.member(1, b"disk.img", DISK, packed=b"packed", method=b"-lh7-", system=b" ") + lha.END

    with pytest.raises(UnsupportedFormat, match="LHA method -lk7- is not supported"):
        unpack(packed)


def mac_binary(name: bytes, data: bytes, resources: bytes) -> bytes:
    header = b"\0" + bytes([len(name)]) + name.ljust(63, b"\0") + b"DISKMACS" + bytes(10)
    header += struct.pack(">II", len(data), len(resources))
    whole = header.ljust(128, b"\0") + data + resources
    return whole + bytes(-len(whole) % 128)


@pytest.mark.parametrize("level", [0, 1, 2])
def test_a_mac_binary_container_is_named(level: int, unpack: Unpack) -> None:
    contents = mac_binary(b"disk.img", DISK, b"icon" * 9)
    packed = lha.member(level, b"disk.img", contents, system=lha.MAC) + lha.END

    with pytest.raises(UnsupportedFormat, match="is in a MacBinary container") as caught:
        unpack(packed)

    assert "lhasa" in caught.value.hint


def test_a_volume_of_several_is_named(unpack: Unpack) -> None:
    packed = lha.member(2, b"disk.img", DISK, extensions=((0x39, bytes(4)),)) + lha.END

    with pytest.raises(UnsupportedFormat, match="one volume of several"):
        unpack(packed)


# ------------------------------------------------------------------------------------------------- cuts and damage


@pytest.mark.parametrize("level", LEVELS)
def test_every_damaged_byte_of_a_header_is_noticed(level: int) -> None:
    first = lha.member(level, b"README", b"read me", folder=b"d\xff")
    header = lha.member(level, b"disk.img", DISK, folder=b"d\xff")[: -len(DISK)]
    _, whole = read_entries(io.BytesIO(first + header + DISK + lha.END))
    for place in range(len(header)):
        damaged = bytearray(header)
        damaged[place] ^= 0x21
        try:
            _, *entries = read_entries(io.BytesIO(first + bytes(damaged) + DISK + lha.END))
        except (VerificationFailed, UnsupportedFormat):
            continue
        # A zero ends the archive, and what follows is refused. Without the type of the CRC, there is none.
        assert damaged[0] == 0 or (damaged[place] == 0x21 and entries == [whole])


@pytest.mark.parametrize("level", LEVELS)
def test_every_cut_is_noticed(level: int) -> None:
    packed = lha.member(level, b"disk.img", DISK, folder=b"d\xff")
    for length in range(23, len(packed), 1 if level == 0 else 997):
        with pytest.raises(
            VerificationFailed, match=r"lha: the (archive is cut off|header at byte 0 is damaged)"
        ):
            list(read_entries(io.BytesIO(packed[:length])))


def test_what_follows_the_end_is_refused(unpack: Unpack) -> None:
    packed = lha.member(1, b"disk.img", DISK) + lha.END

    assert unpack(packed + b"\x1a" * 100 + bytes(100)) == DISK
    assert unpack(packed + b"noise", trailing_bytes="ignore") == DISK
    with pytest.raises(
        VerificationFailed, match=rf"lha: 5 bytes follow the end of the archive at byte {len(packed)}"
    ):
        unpack(packed + b"noise")


def test_wrong_contents_are_noticed(unpack: Unpack) -> None:
    packed = lha.member(1, b"disk.img", DISK)
    damaged = packed[:-1] + b"\1" + lha.END

    with pytest.raises(
        VerificationFailed, match=r"lha: 'disk\.img' is damaged \(it should have 10000 bytes with CRC"
    ):
        unpack(damaged)


# -------------------------------------------------------------------------------------------------------- the start


@pytest.mark.parametrize(
    "method", [b"-lh0-", b"-lh5-", b"-lhx-", b"-lz4-", b"-lz5-", b"-lzs-", b"-pm0-", b"-pm2-"]
)
@pytest.mark.parametrize("level", LEVELS)
def test_an_archive_is_recognised_even_if_its_header_is_damaged(level: int, method: bytes) -> None:
    packed = bytearray(lha.member(level, b"disk.img", DISK, method=method))
    assert looks_like_lha(bytes(packed[:4096]))

    for place in (9, 12, 16, 22):
        damaged = packed.copy()
        damaged[place] ^= 0x40
        assert looks_like_lha(bytes(damaged[:4096]))
