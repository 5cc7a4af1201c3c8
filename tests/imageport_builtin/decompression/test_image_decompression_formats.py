"""Every format, packed by its own program, comes out as it went in."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import lzma
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from imageport import Image, ImageData
from imageport.dataplane import CHUNK_SIZE, ZERO_CHUNK

Pack = Callable[..., bytes]
Unpack = Callable[..., bytes]

FORMATS = [
    ("gzip",),
    ("gzip", "-1"),
    ("xz", "-1"),
    ("xz", "-0", "--check=sha256", "--block-size=1MiB"),
    ("lzma", "-1"),
    ("bzip2", "-1"),
    ("zstd", "-3"),
    ("zstd", "--long=27", "--check"),
    ("zip",),
    ("zip", "-0"),
    ("zip", "-Z", "bzip2"),
    ("zip", "-fz"),
    ("7z", "-tzip", "-mm=LZMA", "-mx=1"),
    ("7z", "-tzip", "-mm=Deflate64", "-mx=1"),
    ("7z", "-tzip", "-mm=PPMd", "-mx=1"),
    ("7z", "-tzip", "-mm=PPMd:o=16:mem=64m"),
    ("7z", "-mx=1"),
    ("7z", "-m0=lzma", "-mx=1"),
    ("7z", "-m0=bzip2", "-mx=1"),
    ("7z", "-m0=ppmd", "-mx=1"),
    ("7z", "-m0=copy"),
    ("7z", "-m0=BCJ", "-m1=lzma2", "-mx=1"),
    ("7z", "-m0=deflate", "-mx=1"),
    ("lha", "a0o5"),
    ("lha", "a1o5"),
    ("lha", "ao5"),
    ("lha", "ao6"),
    ("lha", "ao7"),
    ("lha", "az"),
    ("tar", "--format=ustar"),
    ("tar", "--format=pax"),
    ("tar", "--format=pax", "--pax-option=comment:=hello"),
    ("tar", "--format=gnu"),
]


@pytest.mark.parametrize("kind", FORMATS, ids=" ".join)
def test_what_was_packed_comes_out_again(
    kind: tuple[str, ...], pack: Pack, unpack: Unpack, original: bytes
) -> None:
    packed = pack(kind[0], original, *kind[1:])

    assert hashlib.sha512(unpack(packed)).digest() == hashlib.sha512(original).digest()


@pytest.mark.parametrize(
    "layers",
    [
        ("tar", "gzip"),
        ("tar", "xz"),
        ("tar", "bzip2"),
        ("tar", "zstd"),
        ("zip", "tar"),
        ("gzip", "7z"),
        ("gzip", "zip", "tar", "xz"),
        ("gzip", "lha"),
    ],
    ids=".".join,
)
def test_layers_inside_each_other_are_all_removed(
    layers: tuple[str, ...], pack: Pack, unpack: Unpack, original: bytes
) -> None:
    packed = original
    for layer in layers:
        packed = pack(layer, packed)

    assert unpack(packed) == original


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2", "zstd", "tar", "zip"])
@pytest.mark.parametrize("piece", [1, 511])
def test_the_source_may_come_in_pieces_of_any_size(
    kind: str, piece: int, pack: Pack, unpack: Unpack, small: bytes
) -> None:
    assert unpack(pack(kind, small), piece=piece) == small


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2", "zstd", "tar", "zip", "7z", "lha"])
def test_an_empty_member_is_an_empty_image(kind: str, pack: Pack, unpack: Unpack) -> None:
    assert unpack(pack(kind, b"")) == b""


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2", "zstd"])
def test_frames_one_after_the_other_are_joined(
    kind: str, pack: Pack, unpack: Unpack, original: bytes
) -> None:
    middle = len(original) // 2

    assert unpack(pack(kind, original[:middle]) + pack(kind, original[middle:])) == original


def test_thousands_of_tiny_gzip_members_are_joined(unpack: Unpack) -> None:
    assert unpack(gzip.compress(b"ab") * 50_000) == b"ab" * 50_000


def test_gzip_with_every_header_field_is_read(unpack: Unpack, small: bytes) -> None:
    deflate = zlib.compressobj(wbits=-15)
    body = deflate.compress(small) + deflate.flush()
    header = b"\x1f\x8b\x08\x1e" + bytes(6) + b"\x05\x00extra" + b"name.raw\0" + b"a comment\0"
    header += (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")
    trailer = zlib.crc32(small).to_bytes(4, "little") + len(small).to_bytes(4, "little")

    assert unpack(header + body + trailer) == small


def test_skippable_zstd_frames_are_skipped(pack: Pack, unpack: Unpack, small: bytes) -> None:
    skippable = b"\x50\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"hello"

    assert unpack(skippable + pack("zstd", small) + skippable + pack("zstd", small)) == small * 2


def test_lh4_is_read(pack: Pack, unpack: Unpack, small: bytes, tmp_path: Path) -> None:
    # No program at hand writes -lh4-; of a short file, -lh5- writes the same bytes.
    short = small[:4_000]
    packed = bytearray(pack("lha", short, "a0o5"))
    assert packed[2:7] == b"-lh5-"
    packed[5] = ord("4")
    packed[1] = (packed[1] - 1) & 0xFF
    (tmp_path / "x.lzh").write_bytes(packed)
    elsewhere = subprocess.run(["lhasa", "-pq", tmp_path / "x.lzh"], check=True, capture_output=True).stdout

    assert unpack(bytes(packed)) == elsewhere == short


@pytest.mark.parametrize(
    "options",
    [
        ("--format=gnu",),
        ("--format=pax",),
        ("--format=pax", "--sparse-version=0.0"),
        ("--format=pax", "--sparse-version=0.1"),
    ],
    ids=" ".join,
)
def test_sparse_files_in_tar_get_their_holes_back(
    options: tuple[str, ...], pack_files: Pack, unpack: Unpack, small: bytes, tmp_path: Path
) -> None:
    stripes = b"".join(small[:4096].ljust(64 << 10, b"\0") for _ in range(40)) + bytes(1 << 20)
    (tmp_path / "disk.raw").write_bytes(stripes)
    subprocess.run(["fallocate", "-d", tmp_path / "disk.raw"], check=True)
    packed = pack_files("tar", tmp_path, ["disk.raw"], "--sparse", *options)

    assert len(packed) < len(stripes) // 4
    assert unpack(packed) == stripes


def test_tar_with_long_names_is_unpacked(
    pack_files: Pack, unpack: Unpack, small: bytes, tmp_path: Path
) -> None:
    folder = tmp_path.joinpath(*["a-rather-long-folder-name"] * 8)
    folder.mkdir(parents=True)
    (folder / "disk.raw").write_bytes(small)
    top = "a-rather-long-folder-name"

    assert unpack(pack_files("tar", tmp_path, [top], "--format=gnu")) == small
    assert unpack(pack_files("tar", tmp_path, [top], "--format=pax")) == small


def test_a_zip_written_to_a_pipe_is_read(unpack: Unpack, small: bytes) -> None:
    packed = subprocess.run(["zip", "-q", "-", "-"], input=small, check=True, capture_output=True).stdout

    assert unpack(packed) == small


def test_a_7z_written_from_a_pipe_is_read(unpack: Unpack, small: bytes, tmp_path: Path) -> None:
    command = ["7z", "a", "-bd", "-si", "packed.7z"]
    subprocess.run(command, cwd=tmp_path, input=small, check=True, capture_output=True)

    assert unpack((tmp_path / "packed.7z").read_bytes()) == small


def test_lzma_in_zip_is_read_with_and_without_an_end_marker(pack: Pack, unpack: Unpack, small: bytes) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("disk.raw", small)

    assert unpack(target.getvalue()) == small
    assert unpack(pack("7z", small, "-tzip", "-mm=LZMA:eos=off")) == small


@pytest.mark.parametrize("kind", ["zstd", "xz"])
def test_zstd_and_xz_in_zip_are_read(
    kind: str, pack: Pack, make_zip: Callable[..., bytes], unpack: Unpack, small: bytes
) -> None:
    method = {"zstd": 93, "xz": 95}[kind]
    packed = make_zip(pack(kind, small), method=method, crc=zlib.crc32(small), size=len(small))
    in_two = make_zip(pack(kind, small) * 2, method=method, crc=zlib.crc32(small * 2), size=2 * len(small))

    assert unpack(packed) == small
    assert unpack(in_two) == small * 2


@pytest.mark.parametrize("adjusted", [True, False])
def test_a_zip_behind_the_marker_of_a_split_archive_is_read(
    adjusted: bool, pack: Pack, unpack: Unpack, small: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "marked.zip"
    path.write_bytes(b"PK00" + pack("zip", small))
    if adjusted:
        subprocess.run(["zip", "-qA", path], check=True)

    assert unpack(path.read_bytes()) == small


def test_an_lzma_file_with_a_length_is_read(pack: Pack, unpack: Unpack) -> None:
    content = bytes(100_000) + b"the end"
    packed = pack("lzma", content)

    # A length instead of an end marker, as the first programs wrote it.
    assert unpack(packed[:5] + len(content).to_bytes(8, "little") + packed[13:]) == content


@pytest.mark.parametrize(
    "packed",
    [bz2.compress(b""), lzma.compress(b""), gzip.compress(b"", mtime=0)],
    ids=["bzip2", "xz", "gzip"],
)
def test_streams_without_any_data_are_empty_images(packed: bytes, unpack: Unpack) -> None:
    assert unpack(packed) == b""


def test_output_comes_in_even_pieces_and_zeros_are_marked(
    pack: Pack, transform: Callable[..., Image | None], original: bytes
) -> None:
    image = transform(ImageData.from_chunks(lambda: iter([pack("gzip", bytes(3 * CHUNK_SIZE) + original)])))

    assert image is not None
    pieces = list(image.data.chunks())
    assert {len(piece) for piece in pieces[:-1]} == {CHUNK_SIZE}
    assert all(piece is ZERO_CHUNK for piece in pieces[:3])
    assert b"".join(pieces) == bytes(3 * CHUNK_SIZE) + original
