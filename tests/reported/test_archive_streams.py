"""Compressed streams that are damaged where one ends and the next begins."""

from __future__ import annotations

import hashlib
import random
import struct
import subprocess

import pytest
from tests.reported.bench import RAW, UNPACK, Bench

from imageport.testing.command import RunImageport

DISK = random.Random(7).randbytes(300_000).ljust(512 << 10, b"\0") + b"END\n".rjust(512, b"\0")
LOST = (
    "part of the image may be lost: fetch it again and compare its checksum with the publisher's, with the step "
    "'checksum' or by hand; 'trailing_bytes: ignore' of this step accepts such a file"
)


def packed(tool: str, content: bytes) -> bytes:
    return subprocess.run([tool, "-1", "-c"], input=content, check=True, capture_output=True).stdout


def two_streams(tool: str) -> tuple[bytes, bytes]:
    return packed(tool, DISK[:200_000]), packed(tool, DISK[200_000:])


@pytest.fixture
def bench(run_imageport: RunImageport) -> Bench:
    return Bench(run_imageport)


@pytest.mark.parametrize("tool", ["xz", "gzip", "bzip2", "zstd"])
def test_a_damaged_magic_between_two_streams_does_not_cut_the_image_off(bench: Bench, tool: str) -> None:
    first, second = two_streams(tool)
    for flipped in (bytes([second[0] ^ 0x20]), b"\0"):
        done = bench.imports(first + flipped + second[1:], UNPACK, RAW)

        bench.assert_refused(
            done,
            5,
            f"{tool}: {len(second)} bytes follow the end of the compressed data at byte {len(first)}",
            LOST,
        )


@pytest.mark.parametrize("tool", ["xz", "gzip", "bzip2", "zstd"])
def test_two_whole_streams_are_one_image(bench: Bench, tool: str) -> None:
    bench.assert_stored(bench.imports(b"".join(two_streams(tool)), UNPACK), DISK)


@pytest.mark.parametrize("tool", ["xz", "gzip", "bzip2", "zstd"])
def test_a_published_checksum_permits_what_follows_the_last_stream(
    bench: Bench, tool: str, caplog: pytest.LogCaptureFixture
) -> None:
    published = packed(tool, DISK) + b"signed by the publisher"
    digest = f"sha256:{hashlib.sha256(published).hexdigest()}"
    done = bench.imports(published, {"use": "checksum", "with": {"expected": digest}}, UNPACK)

    bench.assert_stored(done, DISK)
    assert f"{tool}: ignored 23 bytes after the compressed data" in caplog.messages


def test_the_option_permits_what_follows_the_last_stream(bench: Bench) -> None:
    step = {"use": UNPACK, "with": {"trailing_bytes": "ignore"}}
    bench.assert_stored(bench.imports(packed("gzip", DISK) + b"signed", step), DISK)


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "zstd", "skippable frames"])
def test_streams_without_content_meet_the_deadline(bench: Bench, kind: str) -> None:
    with (bench.folder / "imageport.yaml").open("a") as site:
        site.write("limits: {conversion_deadline: 0.000001}\n")
    tool = "zstd" if kind == "skippable frames" else kind
    empty = struct.pack("<II", 0x184D2A50, 0) if kind == "skippable frames" else packed(tool, b"")
    archive = packed(tool, bytes(1000)) + empty * ((1 << 20) // len(empty)) + packed(tool, DISK)

    bench.assert_refused(
        bench.imports(archive, UNPACK, arguments=("--disk-format", "raw")),
        1,
        f"unpacking the {tool} archive took more than 1e-06 s of CPU time",
        "raise limits.conversion_deadline in the site file if images this large are expected",
    )
