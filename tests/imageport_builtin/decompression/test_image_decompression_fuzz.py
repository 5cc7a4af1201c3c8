"""Whatever comes in, what comes out is an image or an error of Imageport, and it comes soon."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imageport import Context, ImageData, ImageportError
from imageport_builtin.unpacking.lha_header import read_entries
from imageport_builtin.unpacking.sniff import HEAD, layer_of

Pack = Callable[..., bytes]

# The fixtures hold no state between two examples.
relaxed = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

MAGIC = {
    "gzip": b"\x1f\x8b\x08",
    "xz": b"\xfd7zXZ\x00",
    "bzip2": b"BZh9\x31\x41\x59\x26\x53\x59",
    "zstd": b"\x28\xb5\x2f\xfd",
    "zip": b"PK\x03\x04",
}

damage = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=6)
cut = st.one_of(st.just(1.0), st.floats(0, 1))


def outcome(data: bytes, transform: Callable[..., object], context: Context) -> bytes | None:
    """Return what the step makes of *data*, None for an error that a person can read."""
    try:
        image = transform(ImageData.from_chunks(lambda: iter([data])), context=context)
        return data if image is None else b"".join(image.data.chunks())  # type: ignore[attr-defined]
    except ImageportError as error:
        assert error.message
        assert error.hint
        return None


@pytest.fixture(scope="module")
def pack_once(pack: Pack, small: bytes) -> Pack:
    return functools.cache(lambda kind, *options: pack(kind, small, *options))


@pytest.mark.parametrize("kind", MAGIC)
@relaxed
@given(tail=st.binary(max_size=600))
def test_noise_behind_a_magic_number_raises_nothing_else(
    kind: str, tail: bytes, transform: Callable[..., object], ctx: Context
) -> None:
    outcome(MAGIC[kind] + tail, transform, ctx)

    assert list(ctx.work_folder.iterdir()) == []


@pytest.mark.parametrize("kind", ["gzip", "xz", "bzip2", "zstd", "zip", "tar", "sparse tar"])
@relaxed
@given(changes=damage, keep=cut)
def test_damaged_archives_raise_nothing_else(
    kind: str,
    changes: list[tuple[float, int]],
    keep: float,
    pack_once: Pack,
    limited_context: Callable[..., Context],
    transform: Callable[..., object],
    small: bytes,
) -> None:
    context = limited_context(image_size_cap="64 MiB")
    options = ["--sparse", "--format=pax"] if kind == "sparse tar" else []
    packed = bytearray(pack_once(kind.removeprefix("sparse "), *options))
    for place, value in changes:
        packed[int(place * len(packed))] = value
    packed = packed[: int(keep * len(packed))]

    result = outcome(bytes(packed), transform, context)

    assert list(context.work_folder.iterdir()) == []
    # tar has no sum over its contents; all others must notice.
    if "tar" not in kind:
        assert result in (None, small, bytes(packed))


@pytest.mark.parametrize("kind", ["7z", "lha"])
def test_damaged_7z_and_lha_raise_nothing_else(
    kind: str, pack: Pack, ctx: Context, transform: Callable[..., object], small: bytes
) -> None:
    # Each takes a process, so these are few.
    packed = pack(kind, small)
    noise = random.Random(11)
    for _ in range(10):
        damaged = bytearray(packed)
        for _ in range(noise.choice([1, 2, 10])):
            damaged[noise.randrange(len(damaged))] = noise.randrange(256)

        result = outcome(bytes(damaged), transform, ctx)

        assert result in (None, small, bytes(damaged))
        assert list(ctx.work_folder.iterdir()) == []


@relaxed
@given(data=st.binary(max_size=400))
def test_any_lha_header_is_read_or_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.lzh"
    for level in range(5):
        path.write_bytes(data[:2] + b"-lh5-" + data[2:15] + bytes([level]) + data[15:])
        with path.open("rb") as file:
            try:
                for entry in read_entries(file):
                    assert 0 <= entry.offset <= path.stat().st_size
            except ImageportError as error:
                assert error.message.startswith("lha: ")


@given(head=st.binary(max_size=HEAD))
def test_noise_is_not_an_archive(head: bytes) -> None:
    assert layer_of(b"\0" + head) is None
