"""Archives and images with damage anywhere, through whole imports: the right bytes, or an error that helps."""

from __future__ import annotations

import hashlib
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.faults.hostile.archives import packed
from tests.faults.machine import Command, Machine, digest, machine

#: Seconds that no import here may take, and bytes that neither it nor a program it starts may.
DEADLINE = 30.0
MEMORY = 512 << 20

PIPELINE = """\
name: everything
source: {{use: glance-direct}}
steps:
  - use: image_decompression
  - use: image_conversion
stores:
  - {{use: file, id: one, with: {{directory: {folder}/one}}}}
"""
CODECS = ("gzip", "bzip2", "xz", "zstd", "zip", "tar", "7z", "lha")
NESTED = (("tar", "gzip"), ("zip", "xz"), ("gzip", "7z"))
#: The drivers of qemu for images, and options for each.
DRIVERS = {
    "qcow2": (),
    "qcow2 compressed": ("-c",),
    "vmdk": ("-o", "subformat=streamOptimized"),
    "vpc": ("-o", "force_size=on"),
    "vhdx": (),
    "vdi": (),
}
#: What an import may fail with when the data is at fault; anything else is a defect.
FAILURES = {"transform-failed", "limit-exceeded", "verification-failed", "unsupported-format"}

DISK = random.Random(3).randbytes(200_000) + bytes((1 << 20) - 200_000)

# The same examples in every run; the machine holds no state that counts between two.
few = settings(
    max_examples=15,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
values = st.one_of(
    st.binary(min_size=1, max_size=8),
    st.sampled_from([bytes(4), bytes(8), b"\xff" * 4, b"\xff" * 8, b"\x7f\xff\xff\xff", b"\0\0\0\1"]),
)
#: Anywhere, but for the most part where the headers are.
places = st.one_of(st.integers(0, 600), st.integers(0, 600), st.floats(0, 1, exclude_max=True))
damage = st.lists(st.tuples(places, values), min_size=1, max_size=4)
cut = st.one_of(st.just(1.0), st.just(1.0), st.floats(0, 1))


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine that takes no image above 16 MiB."""
    folder = tmp_path_factory.mktemp("victim")
    (folder / "pipeline.yaml").write_text(PIPELINE.format(folder=folder))
    with machine(folder, ["one"]) as made:
        with (folder / "imageport.yaml").open("a") as site:
            site.write("limits: {image_size_cap: 16 MiB}\n")
        yield made


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    """Return a function that gives the disk as an image that is not damaged yet."""

    def make(name: str) -> bytes:
        folder = tmp_path_factory.mktemp("original")
        raw, image = folder / "disk.raw", folder / "disk.image"
        raw.write_bytes(DISK)
        driver = ["-O", _driver(name), *DRIVERS[name]]
        subprocess.run(["qemu-img", "convert", "-f", "raw", *driver, raw, image], check=True)
        return image.read_bytes()

    return make


def _driver(name: str) -> str:
    return name.partition(" ")[0]


def damaged(whole: bytes, changes: list[tuple[float, bytes]], keep: float) -> bytes:
    """Return *whole* with changes, at places that are given in bytes or as a share, and without its end."""
    content = bytearray(whole)
    for place, value in changes:
        start = int(place * len(content)) if isinstance(place, float) else min(place, len(content))
        content[start : start + len(value)] = value
    return bytes(content[: int(keep * len(content))])


def imported(victim: Machine, content: bytes) -> tuple[Command, str | None]:
    """Import *content*; return the command, and the digest of the copy unless the import has failed, and well so."""
    image = victim.folder / "image"
    image.write_bytes(content)
    command = victim.start("run", "pipeline.yaml", image, "--disk-format", "auto", "--json")
    victim.wait(command, DEADLINE)
    assert command.peak < MEMORY
    victim.assert_nothing_left()
    error = command.report["error"]
    if error is None:
        return command, digest(victim.folder / "one" / command.report["image"]["id"])
    assert error["code"] in FAILURES, error
    assert error["message"]
    assert error["hint"]
    return command, None


@pytest.mark.parametrize("codecs", [*((codec,) for codec in CODECS), *NESTED], ids="-in-".join)
def test_a_damaged_archive_gives_what_was_packed_or_an_error(
    codecs: tuple[str, ...], victim: Machine, tmp_path: Path
) -> None:
    whole = DISK
    for codec in codecs:
        whole = packed(codec, whole, tmp_path)

    @few
    @given(changes=damage, keep=cut)
    def check(changes: list[tuple[float, bytes]], keep: float) -> None:
        content = damaged(whole, changes, keep)
        command, stored = imported(victim, content)
        # With a damaged magic number, it is not an archive. tar has no checksum of its content.
        right = {hashlib.sha256(DISK).hexdigest(), hashlib.sha256(content).hexdigest(), None}
        assert stored in right or "tar" in codecs, command.report

    check()


@pytest.mark.parametrize("name", DRIVERS)
def test_a_damaged_image_gives_what_qemu_reads_in_it_or_an_error(
    name: str, victim: Machine, original: Callable[[str], bytes], tmp_path: Path
) -> None:
    whole = original(name)

    @few
    @given(changes=damage, keep=cut)
    def check(changes: list[tuple[float, bytes]], keep: float) -> None:
        content = damaged(whole, changes, keep)
        command, stored = imported(victim, content)
        if stored not in {hashlib.sha256(content).hexdigest(), None}:
            image, raw = tmp_path / "image", tmp_path / "raw"
            image.write_bytes(content)
            convert = ["qemu-img", "convert", "-f", _driver(name), "-O", "raw", str(image), str(raw)]
            assert subprocess.run(convert, check=False).returncode == 0, command.report
            assert stored == digest(raw), command.report

    check()
