"""Detection of archives, and the stream that the step reads from."""

from __future__ import annotations

import hashlib
import io
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imageport import (
    Cancelled,
    Chunks,
    Context,
    Image,
    ImageData,
    SourceUnavailable,
    TransformFailed,
    VerificationFailed,
)
from imageport_builtin.image_decompression import DecompressionConfig, ImageDecompression

Pack = Callable[..., bytes]
Unpack = Callable[..., bytes]
Transform = Callable[..., Image | None]

STREAMED = ["gzip", "xz", "bzip2", "zstd", "tar"]
SPOOLED = ["zip", "7z", "lha"]


def boot_sector(at: int, letters: bytes) -> bytes:
    sector = bytearray(b"\xeb\x63" + bytes(508) + b"\x55\xaa")
    sector[at : at + len(letters)] = letters
    return bytes(sector) + bytes(8192)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x1f",
        b"QFI\xfb" + bytes(5000),
        boot_sector(257, b"ustar\x0000"),
        boot_sector(2, b"-lh5-"),
        b"BZh9 is how this disk begins" + bytes(5000),
        b"\x50\x2a\x4d\x18" + bytes(5000),
        b"PK\x05\x06" + bytes(18),
    ],
    ids=[
        "nothing",
        "a byte",
        "qcow2",
        "ustar in boot code",
        "-lh5- in boot code",
        "BZh",
        "skippable",
        "empty zip",
    ],
)
def test_other_data_than_archives_passes_unchanged(data: bytes, make_tap: Any, transform: Transform) -> None:
    tap = make_tap(data)

    assert transform(tap.image_data) is None
    assert b"".join(tap.image_data.chunks()) == data


def test_an_empty_zip_of_a_real_program_passes_unchanged(make_tap: Any, transform: Transform) -> None:
    target = io.BytesIO()
    zipfile.ZipFile(target, "w").close()

    assert transform(make_tap(target.getvalue()).image_data) is None


@pytest.mark.parametrize("kind", [*STREAMED, *SPOOLED])
def test_the_container_format_compressed_is_left_alone(
    kind: str, pack: Pack, make_tap: Any, transform: Transform, small: bytes
) -> None:
    tap = make_tap(pack(kind, small))

    assert transform(tap.image_data, record={"container_format": "compressed"}) is None
    assert not tap.opened


@pytest.mark.parametrize("container", ["ova", "docker"])
def test_a_container_that_is_a_tar_archive_stays_one(
    container: str, pack: Pack, unpack: Unpack, make_tap: Any, transform: Transform, small: bytes
) -> None:
    packed = pack("tar", small)

    assert transform(make_tap(packed).image_data, record={"container_format": container}) is None
    assert unpack(pack("gzip", packed), record={"container_format": container}) == packed


def test_names_and_declared_formats_do_not_matter(
    pack: Pack, make_tap: Any, transform: Transform, small: bytes
) -> None:
    record = {"disk_format": "qcow2", "container_format": "bare", "name": "disk.zip"}
    image = transform(make_tap(pack("xz", small)).image_data, record=record)

    assert image is not None
    assert image.data.size is None
    assert (image.record.disk_format, image.record.container_format) == ("qcow2", "bare")
    assert b"".join(image.data.chunks()) == small


@pytest.mark.parametrize("kind", [*STREAMED, *SPOOLED])
def test_a_file_is_unpacked_where_it_is(
    kind: str, pack: Pack, transform: Transform, small: bytes, work_folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "packed"
    path.write_bytes(pack(kind, small))
    image = transform(ImageData.from_file(path))

    assert image is not None
    assert list(work_folder.iterdir()) == []
    assert b"".join(image.data.chunks()) == small
    assert path.exists()


@pytest.mark.parametrize("kind", STREAMED)
def test_streams_never_touch_the_disk(
    kind: str, ctx: Context, pack: Pack, unpack: Unpack, small: bytes
) -> None:
    assert unpack(pack(kind, small), context=replace(ctx, stream_only=True)) == small


def test_a_stream_cannot_wait_for_a_file_that_fits_better(
    ctx: Context, pack: Pack, unpack: Unpack, small: bytes
) -> None:
    packed = pack("tar", small)

    assert unpack(packed, member="*.vmdk") == small
    with pytest.raises(TransformFailed, match=r"'disk\.raw' is the image only if nothing fits") as caught:
        unpack(packed, member="*.vmdk", context=replace(ctx, stream_only=True))
    assert "staging: auto" in caught.value.hint


@pytest.mark.parametrize("kind", SPOOLED)
def test_archives_that_need_a_file_report_that_in_a_pipeline_that_streams(
    kind: str, ctx: Context, pack: Pack, unpack: Unpack, small: bytes
) -> None:
    with pytest.raises(TransformFailed, match="only be read from a file"):
        unpack(pack(kind, small), context=replace(ctx, stream_only=True))


@pytest.mark.parametrize("kind", [*STREAMED, "zip"])
def test_digests_of_the_published_bytes_see_every_byte(
    kind: str, pack: Pack, transform: Transform, small: bytes
) -> None:
    # A zip has its end at the end, which padding would hide; zstd knows no padding.
    published = pack(kind, small) + bytes(0 if kind in ("zip", "zstd") else 2 << 20)
    digest = hashlib.sha512()

    def tap(chunks: Chunks) -> Chunks:
        for piece in chunks:
            digest.update(piece)
            yield piece

    pieces = [published[start : start + 100_000] for start in range(0, len(published), 100_000)]
    image = transform(ImageData.from_chunks(lambda: iter(pieces)).through(tap))

    assert image is not None
    assert b"".join(image.data.chunks()) == small
    assert digest.digest() == hashlib.sha512(published).digest()


@pytest.mark.parametrize("kind", [*STREAMED, "zip"])
def test_errors_of_the_source_pass_unchanged(
    kind: str, pack: Pack, make_tap: Any, transform: Transform, original: bytes, work_folder: Path
) -> None:
    packed = pack(kind, original)
    failure = SourceUnavailable("the server closed the connection", retry=True)
    tap = make_tap(packed[: len(packed) // 2], piece=10_000, failure=failure)

    with pytest.raises(SourceUnavailable) as caught:
        image = transform(tap.image_data)
        assert image is not None
        b"".join(image.data.chunks())

    assert caught.value is failure
    assert tap.closed
    assert list(work_folder.iterdir()) == []


@pytest.mark.parametrize("kind", [*STREAMED, *SPOOLED])
def test_a_reader_that_stops_early_leaves_nothing_behind(
    kind: str, pack: Pack, make_tap: Any, transform: Transform, original: bytes, work_folder: Path
) -> None:
    tap = make_tap(pack(kind, original), piece=10_000)
    image = transform(tap.image_data)
    assert image is not None

    image.data.close()

    assert tap.closed
    assert list(work_folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["gzip", "zstd", "7z", "lha"])
def test_cancelling_stops_the_unpacking(
    kind: str, ctx: Context, pack: Pack, transform: Transform, original: bytes
) -> None:
    cancelled = threading.Event()
    packed = pack(kind, original)
    image = transform(
        ImageData.from_chunks(lambda: iter([packed])), context=replace(ctx, cancelled=cancelled)
    )
    assert image is not None
    chunks = image.data.chunks()
    next(chunks)

    cancelled.set()

    with pytest.raises(Cancelled):
        list(chunks)
    assert list(ctx.work_folder.iterdir()) == []


def test_a_raw_disk_that_looks_like_gzip_is_taken_for_gzip(unpack: Unpack) -> None:
    with pytest.raises(VerificationFailed, match="gzip: the data"):
        unpack(b"\x1f\x8b\x08" + b"\xff" * 5000)


def test_the_plugin_declares_its_position() -> None:
    assert ImageDecompression.reads == "either"
    assert ImageDecompression.runs_before == {"image_conversion"}
    assert ImageDecompression.config_model is DecompressionConfig
    assert ImageDecompression.summary().startswith("Unpack gzip")
