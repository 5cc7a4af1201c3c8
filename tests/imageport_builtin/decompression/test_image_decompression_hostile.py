"""Damaged, lying, encrypted and oversized archives are refused with a reason, and nothing is left behind."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from imageport import (
    Context,
    Image,
    ImageData,
    ImageportError,
    LimitExceeded,
    UnsupportedFormat,
    VerificationFailed,
)

Pack = Callable[..., bytes]
Unpack = Callable[..., bytes]

CHECKED = [("gzip",), ("xz",), ("bzip2",), ("zstd", "--check"), ("zip",), ("zip", "-0"), ("7z",), ("lha",)]


# ---------------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize("kind", [*CHECKED, ("tar",)], ids=" ".join)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_cut_off_archive_is_refused(
    kind: tuple[str, ...], share: float, pack: Pack, unpack: Unpack, small: bytes
) -> None:
    packed = pack(kind[0], small, *kind[1:])
    if kind == ("tar",):
        packed = packed[: 512 + len(small)]

    with pytest.raises(ImageportError) as caught:
        unpack(packed[: int(len(packed) * share)])

    assert caught.value.message.startswith(f"{kind[0]}:")
    assert caught.value.hint


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2", "zstd"])
def test_every_cut_of_a_stream_is_noticed(kind: str, pack: Pack, unpack: Unpack) -> None:
    packed = pack(kind, b"a short image")

    for length in range(10, len(packed)):
        with pytest.raises(VerificationFailed, match="is cut off"):
            unpack(packed[:length])


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2", "zstd"])
def test_every_cut_of_a_second_frame_is_noticed(kind: str, pack: Pack, unpack: Unpack) -> None:
    packed = pack(kind, b"a short image")

    for length in range(1, len(packed)):
        with pytest.raises(VerificationFailed, match="is cut off"):
            unpack(packed + packed[:length])


@pytest.mark.parametrize("kind", CHECKED, ids=" ".join)
def test_a_changed_byte_is_noticed(kind: tuple[str, ...], pack: Pack, unpack: Unpack, small: bytes) -> None:
    packed = bytearray(pack(kind[0], small, *kind[1:]))
    packed[len(packed) // 2] ^= 0x10

    with pytest.raises(ImageportError, match="damaged"):
        unpack(bytes(packed))


def test_a_gzip_with_a_wrong_crc_is_refused(pack: Pack, unpack: Unpack, small: bytes) -> None:
    packed = bytearray(pack("gzip", small))
    packed[-8] ^= 1

    with pytest.raises(VerificationFailed, match="gzip: the data is damaged"):
        unpack(bytes(packed))


def test_a_damaged_second_tar_header_is_not_taken_for_the_end(
    pack_files: Pack, unpack: Unpack, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(b"x" * 512)
    packed = bytearray(pack_files("tar", tmp_path, ["one", "two"]))
    packed[1024] ^= 1

    with pytest.raises(
        VerificationFailed, match=r"tar: the header at byte 1024 is damaged \(its checksum is wrong\)"
    ):
        unpack(bytes(packed))


def test_a_crash_of_a_decoder_is_an_error_message(pack: Pack, unpack: Unpack, small: bytes) -> None:
    # PPMd in 7z brings its decoder down for many of these.
    packed = pack("7z", small, "-m0=ppmd")
    noise = random.Random(5)

    for _ in range(8):
        damaged = bytearray(packed)
        for _ in range(8):
            damaged[noise.randrange(40, len(damaged) // 2)] = noise.randrange(256)
        with pytest.raises(ImageportError, match="7z:"):
            unpack(bytes(damaged))


# --------------------------------------------------------------------------------------------------------- members


@pytest.mark.parametrize("kind", ["tar", "zip", "7z", "lha"])
def test_two_files_are_refused_and_named(kind: str, pack_files: Pack, unpack: Unpack, tmp_path: Path) -> None:
    for name in ("one.raw", "two.raw"):
        (tmp_path / name).write_bytes(name.encode() * 1000)

    with pytest.raises(VerificationFailed, match=r"'one\.raw', 'two\.raw'") as caught:
        unpack(pack_files(kind, tmp_path, ["one.raw", "two.raw"]))

    assert "member" in caught.value.hint


@pytest.mark.parametrize("kind", ["tar", "zip", "7z", "lha"])
def test_one_of_several_files_can_be_chosen(
    kind: str, pack_files: Pack, unpack: Unpack, small: bytes, tmp_path: Path
) -> None:
    (tmp_path / "README").write_bytes(b"read me")
    (tmp_path / "disk.raw").write_bytes(small)
    (tmp_path / "zz.sum").write_bytes(b"sum")
    packed = pack_files(kind, tmp_path, ["README", "disk.raw", "zz.sum"])

    assert unpack(packed, member="*.raw") == small
    with pytest.raises(VerificationFailed, match=r"no file fits member: '\*\.vmdk'; .*'README', 'disk\.raw'"):
        unpack(packed, member="*.vmdk")
    with pytest.raises(VerificationFailed, match=r"fit member: '\*'"):
        unpack(packed, member="*")


@pytest.mark.parametrize("kind", ["tar", "zip", "7z"])
def test_folders_do_not_count(
    kind: str, pack_files: Pack, unpack: Unpack, small: bytes, tmp_path: Path
) -> None:
    (tmp_path / "images" / "empty").mkdir(parents=True)
    (tmp_path / "images" / "disk.raw").write_bytes(small)
    options = {"zip": ["-r"]}.get(kind, [])

    assert unpack(pack_files(kind, tmp_path, ["images"], *options)) == small


@pytest.mark.parametrize("kind", ["tar", "7z"])
def test_an_archive_without_files_is_refused(
    kind: str, pack_files: Pack, unpack: Unpack, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(VerificationFailed, match="the archive holds no file"):
        unpack(pack_files(kind, tmp_path, ["empty"]))


@pytest.mark.parametrize(
    ("kind", "options"), [("tar", ()), ("zip", ("--symlinks",)), ("7z", ("-snl",))], ids=["tar", "zip", "7z"]
)
def test_links_are_refused(
    kind: str, options: tuple[str, ...], pack_files: Pack, unpack: Unpack, tmp_path: Path
) -> None:
    (tmp_path / "disk.raw").symlink_to("/etc/passwd")

    with pytest.raises(VerificationFailed, match=r"'disk\.raw' is a link, a device or the like"):
        unpack(pack_files(kind, tmp_path, ["disk.raw"], *options))


@pytest.mark.parametrize("size", [-1, -1000])
@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_negative_sizes_in_tar_are_refused(kind: bytes, size: int, unpack: Unpack) -> None:
    info = tarfile.TarInfo("disk.raw")
    info.type = kind
    info.size = size

    with pytest.raises(VerificationFailed, match="tar: "):
        unpack(info.tobuf(tarfile.GNU_FORMAT) + b"x" * 4096)


def test_headers_for_headers_in_tar_are_refused(unpack: Unpack) -> None:
    info = tarfile.TarInfo("headers")
    info.type = tarfile.XHDTYPE

    with pytest.raises(VerificationFailed, match=r"tar: the header at byte 512 is damaged \(it repeats"):
        unpack(info.tobuf() * 5000)


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_special_files_in_tar_are_refused(kind: bytes, unpack: Unpack) -> None:
    info = tarfile.TarInfo("disk.raw")
    info.type = kind
    info.linkname = "/etc/passwd"

    with pytest.raises(VerificationFailed, match="is a link, a device or the like"):
        unpack(info.tobuf() + bytes(1024))


HOSTILE_NAMES = ["../x", "/etc/x", "a/../../x", "6f1c6d1e-3f1b-4a2b-9d3e-0c8f4b7a1d99", "x\x1b[2J\n"]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_are_never_used_for_paths(
    kind: str, name: str, unpack: Unpack, small: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(target, "w") as zipped:
            zipped.writestr(zipfile.ZipInfo(name), small)
    else:
        with tarfile.open(fileobj=target, mode="w") as tarred:
            info = tarfile.TarInfo(name)
            info.size = len(small)
            tarred.addfile(info, io.BytesIO(small))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    assert unpack(target.getvalue()) == small
    assert sorted(tmp_path.rglob("*")) == before


def test_a_hostile_name_in_7z_writes_nothing(
    pack_files: Pack, unpack: Unpack, small: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "disk.raw").write_bytes(small)
    pack_files("7z", folder, ["disk.raw"])
    subprocess.run(["7z", "rn", "packed.7z", "disk.raw", "../x"], cwd=folder, check=True, capture_output=True)
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises(VerificationFailed, match=r"\.\./x"):
        unpack((folder / "packed.7z").read_bytes())

    assert sorted(tmp_path.rglob("*")) == before


def test_error_messages_cannot_move_the_cursor(unpack: Unpack) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name in ("a\x1b[2J", "b" * 200):
            archive.addfile(tarfile.TarInfo(name))

    with pytest.raises(VerificationFailed) as caught:
        unpack(target.getvalue())

    assert caught.value.message.isprintable()
    assert "'a?[2J'" in caught.value.message
    assert "b" * 90 not in caught.value.message


# ------------------------------------------------------------------------------------------------------------- zip


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("zip", ("-P", "secret")),
        ("7z", ("-psecret",)),
        ("7z", ("-psecret", "-mhe=on")),
        ("7z", ("-tzip", "-psecret", "-mem=AES256")),
    ],
    ids=["zip", "7z", "7z with hidden names", "zip AES"],
)
def test_encrypted_archives_are_refused(
    kind: str, options: tuple[str, ...], pack: Pack, unpack: Unpack, small: bytes
) -> None:
    with pytest.raises(UnsupportedFormat, match="encrypted") as caught:
        unpack(pack(kind, small, *options))

    assert "password" in caught.value.hint


@pytest.mark.parametrize(
    ("method", "name"), [(1, "Shrink"), (6, "Implode"), (97, "compression method 97")], ids=str
)
def test_other_methods_in_zip_are_named(
    method: int, name: str, make_zip: Callable[..., bytes], unpack: Unpack
) -> None:
    with pytest.raises(UnsupportedFormat) as caught:
        unpack(make_zip(b"x", method=method, crc=0, size=1))

    assert caught.value.message == f"zip: 'disk.raw' uses {name}, which is not supported here"
    assert caught.value.hint == "unpack it with '7z x' and import the result"


@pytest.mark.parametrize("method", ["Deflate64", "PPMd"])
def test_damage_in_rare_methods_of_zip_is_noticed(
    method: str, pack: Pack, unpack: Unpack, small: bytes, make_zip: Callable[..., bytes]
) -> None:
    packed = pack("7z", small, "-tzip", f"-mm={method}")
    noise = random.Random(3)
    for _ in range(6):
        damaged = bytearray(packed)
        damaged[noise.randrange(60, len(packed) // 2)] ^= 0x10
        with pytest.raises(VerificationFailed, match=r"zip: 'disk\.raw' is (damaged|cut off)"):
            unpack(bytes(damaged))
    data = packed[38:-76]
    number = {"Deflate64": 9, "PPMd": 98}[method]
    for length in (0, 1, 2, len(data) // 2):
        cut = make_zip(data[:length], method=number, crc=zlib.crc32(small), size=len(small))
        with pytest.raises(VerificationFailed, match=r"zip: 'disk\.raw' is (damaged|cut off)"):
            unpack(cut)


def test_a_ppmd_model_beyond_the_memory_is_refused(pack: Pack, unpack: Unpack, small: bytes) -> None:
    # The model of a small file is small; this asks for one of 64 MiB.
    packed = bytearray(pack("7z", small, "-tzip", "-mm=PPMd"))
    packed[38:40] = (7 | 63 << 4).to_bytes(2, "little")

    with pytest.raises(LimitExceeded, match="too large for the memory") as caught:
        unpack(bytes(packed), decoder_memory="16 MiB")

    assert "decoder_memory" in caught.value.hint


def with_method(packed: bytes, identifier: bytes) -> bytes:
    """Return a 7z archive of the method Copy, whose header is not packed, with the name of another method."""
    start, length = struct.unpack_from("<QQ", packed, 12)
    body, header = packed[32 : 32 + start], packed[32 + start : 32 + start + length]
    coder = b"\x0b\x01\x00\x01"
    assert header.count(coder + b"\x01\x00") == 1
    header = header.replace(coder + b"\x01\x00", coder + bytes([len(identifier)]) + identifier)
    rest = struct.pack("<QQI", start, len(header), zlib.crc32(header))
    return packed[:8] + struct.pack("<I", zlib.crc32(rest)) + rest + body + header


@pytest.mark.parametrize(
    ("identifier", "name"),
    [
        ("0a", "the 7z method ARM64"),
        ("0b", "the 7z method RISCV"),
        ("04f71104", "the 7z method LZ4"),
        ("7fff", "a 7z method, or several in a row,"),
    ],
)
def test_methods_of_7z_that_cannot_be_read_are_named(
    identifier: str, name: str, pack: Pack, unpack: Unpack, small: bytes
) -> None:
    packed = pack("7z", small, "-m0=copy", "-mhc=off")
    assert unpack(with_method(packed, b"\x00")) == small

    with pytest.raises(UnsupportedFormat) as caught:
        unpack(with_method(packed, bytes.fromhex(identifier)))

    assert caught.value.message == f"7z: 'disk.raw' uses {name}, which is not supported here"
    assert caught.value.hint == "unpack it with '7z x' and import the result"


def test_a_member_that_is_not_encrypted_is_read_beside_one_that_is(
    pack_files: Pack, unpack: Unpack, small: bytes, tmp_path: Path
) -> None:
    (tmp_path / "disk.raw").write_bytes(small)
    (tmp_path / "notes.txt").write_bytes(b"secret")
    pack_files("7z", tmp_path, ["disk.raw"])
    packed = pack_files("7z", tmp_path, ["notes.txt"], "-psecret")

    assert unpack(packed, member="*.raw") == small
    with pytest.raises(UnsupportedFormat, match=r"7z: 'notes\.txt' is encrypted"):
        unpack(packed, member="*.txt")


def test_a_cut_7z_may_be_the_first_part_of_several(
    pack_files: Pack, unpack: Unpack, small: bytes, tmp_path: Path
) -> None:
    (tmp_path / "disk.raw").write_bytes(random.Random(4).randbytes(40_000))
    subprocess.run(
        ["7z", "a", "-bd", "-v16k", "a.7z", "disk.raw"], cwd=tmp_path, check=True, capture_output=True
    )
    parts = [path.read_bytes() for path in sorted(tmp_path.glob("a.7z.*"))]

    with pytest.raises(VerificationFailed) as caught:
        unpack(parts[0])

    total = len(b"".join(parts))
    assert (
        f"7z: the archive is cut off after {16 << 10} of {total} bytes, or this is the first part of several"
        in str(caught.value)
    )
    assert unpack(b"".join(parts)) == (tmp_path / "disk.raw").read_bytes()


def test_parts_of_a_split_zip_are_named(unpack: Unpack, tmp_path: Path) -> None:
    (tmp_path / "disk.raw").write_bytes(random.Random(4).randbytes(200_000))
    subprocess.run(["zip", "-q", "-s", "64k", "a.zip", "disk.raw"], cwd=tmp_path, check=True)

    with pytest.raises(
        UnsupportedFormat, match="the image is the first part of a split zip archive"
    ) as caught:
        unpack((tmp_path / "a.z01").read_bytes())

    assert "zip -s 0" in caught.value.hint


@pytest.mark.parametrize("length", [1, 100])
def test_a_zip_without_its_end_is_cut_off(length: int, pack: Pack, unpack: Unpack, small: bytes) -> None:
    packed = pack("zip", small)[:-length]
    with pytest.raises(VerificationFailed) as caught:
        unpack(packed)

    assert "damaged" in caught.value.message or f"cut off after {len(packed)} bytes" in caught.value.message


@pytest.mark.parametrize("lie", [-1, 1, 1 << 20])
@pytest.mark.parametrize("method", [0, 8])
def test_a_zip_that_lies_about_sizes_is_refused(
    method: int, lie: int, make_zip: Callable[..., bytes], unpack: Unpack, small: bytes
) -> None:
    deflate = zlib.compressobj(wbits=-15)
    payload = small if method == 0 else deflate.compress(small) + deflate.flush()

    with pytest.raises(VerificationFailed, match="announced"):
        unpack(make_zip(payload, method=method, crc=zlib.crc32(small), size=len(small) + lie))


def test_a_zip_whose_list_is_huge_is_refused(unpack: Unpack) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for number in range(12_000):
            archive.writestr(f"{number:080}", b"")

    with pytest.raises(LimitExceeded, match="list of members is longer"):
        unpack(target.getvalue())


def test_a_tar_with_too_many_members_is_refused(unpack: Unpack) -> None:
    folder = tarfile.TarInfo("folder")
    folder.type = tarfile.DIRTYPE

    with pytest.raises(LimitExceeded, match="more than 10000 members"):
        unpack(folder.tobuf() * 10_001)


# ------------------------------------------------------------------------------------------------------------ caps


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2", "zstd", "zip", "7z", "lha", "tar"])
def test_output_stops_at_the_cap(kind: str, pack: Pack, unpack: Unpack) -> None:
    with pytest.raises(LimitExceeded, match=rf"the {kind} archive unpacks to more than 2\.0 MiB") as caught:
        unpack(pack(kind, bytes(8 << 20)), max_output="2 MiB")

    assert "max_output" in caught.value.hint


def test_output_stops_at_the_cap_of_the_site(
    pack: Pack, unpack: Unpack, limited_context: Callable[..., Context]
) -> None:
    with pytest.raises(LimitExceeded) as caught:
        unpack(pack("gzip", bytes(8 << 20)), context=limited_context(image_size_cap="1 MiB"))

    assert "image_size_cap" in caught.value.hint


def test_a_bomb_is_stopped_by_its_ratio(pack: Pack, unpack: Unpack) -> None:
    # 1 GiB of letters in some 40 KiB.
    letters = zlib.crc32(b"").to_bytes(4, "little").replace(b"\0", b"A") * (2 << 20)
    packed = pack("zstd", letters) * 128

    with pytest.raises(LimitExceeded, match="more than 1000 to 1") as caught:
        unpack(packed)

    assert "bomb" in caught.value.hint


def test_an_empty_disk_is_not_a_bomb(
    pack: Pack, transform: Callable[..., Image | None], small: bytes
) -> None:
    # 1 GiB of zeros and some content: 20,000 to 1 with zstd.
    packed = pack("zstd", bytes(64 << 20)) * 16 + pack("zstd", small)
    image = transform(ImageData.from_chunks(lambda: iter([packed])))

    assert image is not None
    assert len(packed) * 20_000 < 1 << 30
    assert sum(len(piece) for piece in image.data.chunks()) == (1 << 30) + len(small)


@pytest.mark.parametrize("kind", ["gzip", "zstd", "zip", "tar"])
def test_unpacking_takes_no_more_time_of_the_processor_than_permitted(
    kind: str, pack: Pack, unpack: Unpack, limited_context: Callable[..., Context]
) -> None:
    context = limited_context(conversion_deadline=1e-6)
    with pytest.raises(LimitExceeded, match=f"unpacking the {kind} archive took more than 1e-06 s") as caught:
        unpack(pack(kind, bytes(8 << 20)), context=context)

    assert "conversion_deadline" in caught.value.hint


def test_too_many_layers_are_refused(pack: Pack, unpack: Unpack, small: bytes) -> None:
    packed = small
    for _ in range(5):
        packed = pack("gzip", packed)

    with pytest.raises(LimitExceeded, match="more than 4 archives inside each other") as caught:
        unpack(packed)

    assert "max_layers" in caught.value.hint
    assert unpack(packed, max_layers=5) == small


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("xz", ("--lzma2=preset=0,dict=64MiB",)),
        ("zstd", ("--long=31", "--ultra", "-1")),
        ("7z", ("-tzip", "-mm=LZMA:d=64m", "-mx=1")),
    ],
    ids=["xz", "zstd", "zip"],
)
def test_a_window_beyond_the_memory_is_refused(
    kind: str, options: tuple[str, ...], tmp_path: Path, unpack: Unpack
) -> None:
    # The programs use a smaller window when they know that the data is small, so it must be large or come by pipe.
    commands = {
        "xz": ["xz", "-c", *options],
        "zstd": ["zstd", "-qc", *options],
        "7z": ["7z", "a", "-si", "-bd", *options, "out.7z"],
    }
    done = subprocess.run(
        commands[kind], input=bytes(33 << 20), cwd=tmp_path, check=True, capture_output=True
    )
    packed = (tmp_path / "out.7z").read_bytes() if kind == "7z" else done.stdout

    with pytest.raises(LimitExceeded, match="too large for the memory") as caught:
        unpack(packed, decoder_memory="8 MiB")

    assert "decoder_memory" in caught.value.hint


def test_a_7z_dictionary_beyond_the_memory_is_refused(pack: Pack, unpack: Unpack, small: bytes) -> None:
    packed = bytearray(pack("7z", small, "-mhc=off", "-m0=lzma2"))
    start, length = struct.unpack_from("<QQ", packed, 12)
    header = slice(32 + start, 32 + start + length)
    # The coder: flags, LZMA2, one byte of properties, which becomes the code of 4 GiB.
    coder = packed.index(b"\x21\x21\x01", header.start)
    packed[coder + 3] = 40
    struct.pack_into("<I", packed, 28, zlib.crc32(packed[header]))
    struct.pack_into("<I", packed, 8, zlib.crc32(packed[12:32]))

    with pytest.raises(LimitExceeded, match="dictionary too large for the memory") as caught:
        unpack(bytes(packed))

    assert "decoder_memory" in caught.value.hint
