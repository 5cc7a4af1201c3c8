"""Frames that follow each other, and what else follows them: judged as by the tool of each format."""

from __future__ import annotations

import gzip
import hashlib
import logging
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from imageport import (
    Cancelled,
    Context,
    Image,
    ImageData,
    ImageportError,
    LimitExceeded,
    VerificationFailed,
)
from imageport_builtin.unpacking.frames import zstd_library

Pack = Callable[..., bytes]
Unpack = Callable[..., bytes]
Transform = Callable[..., Image | None]

STREAMS = ["gzip", "xz", "bzip2", "zstd"]
GARBAGE = b"a signature or the like"
FIRST, SECOND = b"the first half of a disk\n", b"and the second one\n" * 3
SKIPPABLE = b"\x5a\x2a\x4d\x18\x03\x00\x00\x00abc"


def checked(data: ImageData) -> ImageData:
    """Return *data* with a comparison of its digest that finds it right."""
    return data.digested("sha256", lambda value: None).tapped(lambda chunks: chunks)


def unpacked(data: ImageData, transform: Transform, **settings: Any) -> bytes:
    """Return what the step makes of *data*."""
    image = transform(data, **settings)
    assert image is not None
    return b"".join(image.data.chunks())


# ------------------------------------------------------------------------------------------------- after the last one


@pytest.mark.parametrize("kind", STREAMS)
def test_bytes_after_the_last_frame_are_refused_with_their_place(
    kind: str, pack: Pack, unpack: Unpack, small: bytes
) -> None:
    packed = pack(kind, small)

    with pytest.raises(VerificationFailed) as caught:
        unpack(packed + GARBAGE * 50_000)

    assert type(caught.value) is VerificationFailed
    assert caught.value.message == (
        f"{kind}: {len(GARBAGE) * 50_000} bytes follow the end of the compressed data at byte {len(packed)}"
    )
    assert "part of the image may be lost" in caught.value.hint
    assert "trailing_bytes: ignore" in caught.value.hint


@pytest.mark.parametrize("kind", STREAMS)
def test_bytes_after_the_last_frame_are_ignored_on_request(
    kind: str, pack: Pack, unpack: Unpack, small: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert unpack(pack(kind, small) + GARBAGE, trailing_bytes="ignore") == small

    assert [record.getMessage() for record in caplog.records] == [
        f"{kind}: ignored {len(GARBAGE)} bytes after the compressed data"
    ]


@pytest.mark.parametrize(
    "layers", [("gzip",), ("bzip2", "xz"), ("zip", "gzip"), ("xz", "zip", "zstd")], ids=".".join
)
def test_bytes_that_passed_a_checksum_may_have_others_after_the_last_frame(
    layers: tuple[str, ...], pack: Pack, transform: Transform, small: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    packed = pack(layers[0], small) + (GARBAGE if layers[0] != "zip" else b"")
    for layer in layers[1:]:
        packed = pack(layer, packed) + (GARBAGE if layers[0] == "zip" and layer != "zip" else b"")
    with caplog.at_level(logging.WARNING):
        assert unpacked(checked(ImageData.from_chunks(lambda: iter([packed]))), transform) == small

    assert f"ignored {len(GARBAGE)} bytes" in caplog.text


def test_a_checksum_that_fails_is_reported_before_bytes_after_the_last_frame(
    pack: Pack, transform: Transform, small: bytes
) -> None:
    def refuse(value: str) -> None:
        raise VerificationFailed(f"the digest is {value}")

    packed = pack("xz", small) + GARBAGE
    data = ImageData.from_chunks(lambda: iter([packed])).digested("sha256", refuse)

    with pytest.raises(VerificationFailed, match=f"the digest is {hashlib.sha256(packed).hexdigest()}"):
        unpacked(data, transform)


@pytest.mark.parametrize("kind", STREAMS)
def test_a_digest_without_a_comparison_permits_nothing(
    kind: str, pack: Pack, transform: Transform, small: bytes
) -> None:
    packed = pack(kind, small) + GARBAGE
    data = ImageData.from_chunks(lambda: iter([packed])).digested("sha256")

    with pytest.raises(VerificationFailed, match="bytes follow the end"):
        unpacked(data, transform)


# ------------------------------------------------------------------------------------------------------------ padding


@pytest.mark.parametrize(
    ("kind", "zeros"), [("gzip", 1), ("gzip", 3_000_001), ("bzip2", 511), ("xz", 4), ("xz", 3_000_000)]
)
def test_padding_at_the_end_is_silent(
    kind: str, zeros: int, pack: Pack, unpack: Unpack, small: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert unpack(pack(kind, small) + bytes(zeros)) == small

    assert caplog.records == []


@pytest.mark.parametrize(
    ("kind", "between"),
    [
        ("xz", bytes(1)),
        ("xz", bytes(6)),
        ("zstd", bytes(4)),
        ("gzip", bytes(512)),
        ("bzip2", bytes(512)),
    ],
    ids=["xz 1", "xz 6", "zstd 4", "gzip 512", "bzip2 512"],
)
def test_frames_behind_zeros_that_the_tool_does_not_skip_are_refused(
    kind: str, between: bytes, pack: Pack, unpack: Unpack
) -> None:
    first = pack(kind, FIRST)
    packed = first + between + pack(kind, SECOND)

    with pytest.raises(VerificationFailed) as caught:
        unpack(packed)

    assert caught.value.message == (
        f"{kind}: {len(packed) - len(first)} bytes follow the end of the compressed data at byte {len(first)}"
    )
    assert by_tool(kind, packed) is None


@pytest.mark.parametrize(("kind", "zeros"), [("xz", 1), ("xz", 3), ("zstd", 1), ("zstd", 512)])
def test_zeros_that_are_not_padding_are_refused(kind: str, zeros: int, pack: Pack, unpack: Unpack) -> None:
    packed = pack(kind, FIRST) + bytes(zeros)

    with pytest.raises(VerificationFailed, match=f"{zeros} bytes follow the end"):
        unpack(packed)

    assert by_tool(kind, packed) is None


def test_xz_streams_may_have_padding_between_them(pack: Pack, unpack: Unpack) -> None:
    packed = pack("xz", FIRST) + bytes(8) + pack("xz", SECOND) + bytes(4)

    assert unpack(packed) == FIRST + SECOND == by_tool("xz", packed)


# ---------------------------------------------------------------------------------------------------------- damage


def by_tool(kind: str, packed: bytes) -> bytes | None:
    """Return what the tool of the format unpacks, None when it reports anything."""
    done = subprocess.run([kind, "-dc"], input=packed, capture_output=True, check=False)
    return None if done.returncode or done.stderr else done.stdout


def pieces_of(kind: str, pack: Pack) -> list[bytes]:
    options = {"zstd": ["--check"], "xz": ["-0"]}.get(kind, [])
    first, second = pack(kind, FIRST, *options), pack(kind, SECOND, *options)
    between = {"xz": bytes(4), "zstd": SKIPPABLE}.get(kind, b"")
    return [first, between, second] if between else [first, second]


def damages(packed: bytes) -> Iterator[bytes]:
    """Yield *packed* with each cut, and with each byte changed in several ways."""
    for place in range(1, len(packed)):
        yield packed[:place]
    for place in range(len(packed)):
        for change in (0x01, 0x02, 0x04, 0x10, 0x20, 0x80, 0xFF):
            damaged = bytearray(packed)
            damaged[place] ^= change
            yield bytes(damaged)


@pytest.mark.parametrize("kind", STREAMS)
def test_damage_anywhere_is_refused_unless_the_tool_finds_nothing_wrong(
    kind: str, pack: Pack, transform: Transform
) -> None:
    accepted = refused = 0
    for damaged in damages(b"".join(pieces_of(kind, pack))):
        data = ImageData.from_chunks(lambda damaged=damaged: iter([damaged]))  # type: ignore[misc]
        try:
            image = transform(data)
            if image is None:
                continue
            found = b"".join(image.data.chunks())
        except VerificationFailed as error:
            assert error.message.startswith(f"{kind}: ")
            refused += 1
        except LimitExceeded as error:
            assert "too large for the memory" in error.message
            refused += 1
        else:
            assert found == by_tool(kind, damaged)
            accepted += 1
    assert refused > 4 * accepted


@pytest.mark.parametrize("kind", STREAMS)
def test_a_changed_byte_in_the_magic_of_a_later_frame_loses_nothing(
    kind: str, pack: Pack, unpack: Unpack
) -> None:
    first, second = pack(kind, FIRST), pack(kind, SECOND)
    for place in range(len(second[:3])):
        damaged = bytearray(second)
        damaged[place] ^= 0x20

        with pytest.raises(VerificationFailed) as caught:
            unpack(first + damaged)

        assert (
            f"{len(second)} bytes follow the end of the compressed data at byte {len(first)}"
            in caught.value.message
        )


# ----------------------------------------------------------------------------------------------------- without output


def empty_frames(kind: str) -> bytes:
    """Return frames that are many and hold nothing, behind one that holds a byte."""
    if kind == "zstd":
        return bytes(zstd_library().compress(b"x")) + b"\x50\x2a\x4d\x18\x00\x00\x00\x00" * 20_000
    return gzip.compress(b"x") + gzip.compress(b"") * 20_000


class Impatient(threading.Event):
    """Reports that the import is cancelled after a number of calls."""

    asked = 0

    def is_set(self) -> bool:
        self.asked += 1
        return self.asked > 1000


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
@pytest.mark.parametrize("layer", ["", "bzip2"])
def test_frames_without_content_can_be_cancelled(
    kind: str, layer: str, pack: Pack, ctx: Context, transform: Transform
) -> None:
    packed = empty_frames(kind)
    packed = pack(layer, packed) if layer else packed
    data = ImageData.from_chunks(lambda: iter([packed]))

    with pytest.raises(Cancelled):
        unpacked(data, transform, context=replace(ctx, cancelled=Impatient()))


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_frames_without_content_meet_the_deadline_before_they_end(
    kind: str, make_tap: Any, limited_context: Callable[..., Context], transform: Transform
) -> None:
    tap = make_tap(empty_frames(kind), piece=64 << 10)

    with pytest.raises(LimitExceeded, match="more than 1e-06 s of CPU time") as caught:
        transform(tap.image_data, context=limited_context(conversion_deadline=1e-6))

    assert "conversion_deadline" in caught.value.hint
    assert tap.taken < len(tap.data)


def test_many_tiny_frames_take_time_in_proportion(unpack: Unpack) -> None:
    packed = gzip.compress(b"a") + gzip.compress(b"") * 50_000

    with pytest.raises(ImageportError, match="cut off"):
        unpack(packed[:-1])
