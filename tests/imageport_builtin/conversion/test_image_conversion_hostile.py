"""Images made to read other files, to exhaust the machine, or to be taken for something else."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from imageport import ImageportError, LimitExceeded, VerificationFailed

if TYPE_CHECKING:
    from tests.imageport_builtin.conversion.conftest import Bench

Make = Callable[[str], Path]
Patch = Callable[..., Path]


@pytest.fixture
def patched(make: Make, tmp_path: Path) -> Patch:
    """Copy an image and overwrite bytes of the copy: pairs of an offset and what to write there."""

    def patch(kind: str, *changes: tuple[int, bytes]) -> Path:
        path = tmp_path / "patched"
        content = bytearray(make(kind).read_bytes())
        for offset, replacement in changes:
            content[offset : offset + len(replacement)] = replacement
        path.write_bytes(content)
        return path

    return patch


def assert_refused(
    bench: Bench, path: Path, match: str, error: type[ImageportError], **options: object
) -> None:
    """The image is refused as a file and as a stream, with every origin of the declaration, and leaves nothing
    behind."""
    for stream in (False, True):
        with pytest.raises(error, match=match) as failure:
            bench.convert(path, stream=stream, **options)  # type: ignore[arg-type]
        assert failure.value.hint
        assert bench.work_files() == []


def test_a_backing_file_is_refused(
    make: Make, qemu_img: Callable[..., None], bench: Bench, tmp_path: Path
) -> None:
    overlay = tmp_path / "overlay.qcow2"
    qemu_img("create", "-f", "qcow2", "-F", "qcow2", "-b", make("qcow2 v3"), overlay)

    assert_refused(bench, overlay, "it has a backing file", VerificationFailed)


def test_a_data_file_is_refused(qemu_img: Callable[..., None], bench: Bench, tmp_path: Path) -> None:
    image = tmp_path / "outside.qcow2"
    qemu_img("create", "-f", "qcow2", "-o", f"data_file={tmp_path / 'data.raw'}", image, "1M")

    assert_refused(bench, image, "external data file", VerificationFailed)


@pytest.mark.parametrize("subformat", ["monolithicFlat", "twoGbMaxExtentFlat", "twoGbMaxExtentSparse"])
def test_a_vmdk_in_several_files_is_refused(
    subformat: str, disk: Path, qemu_img: Callable[..., None], bench: Bench, tmp_path: Path
) -> None:
    image = tmp_path / "parts.vmdk"
    qemu_img("convert", "-f", "raw", "-O", "vmdk", "-o", f"subformat={subformat}", disk, image)

    assert_refused(
        bench, image, "a descriptor, a small text file that refers to other files", VerificationFailed
    )


def test_a_vmdk_descriptor_that_names_a_file_of_the_host_is_refused(bench: Bench, tmp_path: Path) -> None:
    text = '# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 2 FLAT "/etc/passwd" 0\n'
    image = tmp_path / "passwd.vmdk"
    for content in (text, text.ljust(4096, "#"), text.ljust(4096, "\0"), text.replace("Disk", "Dïsk")):
        image.write_text(content)
        assert_refused(
            bench, image, "a descriptor, a small text file that refers to other files", VerificationFailed
        )


def test_a_vmdk_with_a_foreign_extent_in_its_embedded_descriptor_is_refused(
    make: Make, patched: Patch, bench: Bench
) -> None:
    kind = "vmdk monolithicSparse"
    descriptor = make(kind).read_bytes()[512:2048]
    lines = descriptor.rstrip(b"\0").split(b"\n")
    [extent] = [line for line in lines if line.startswith(b"RW ")]
    forged = descriptor.replace(extent, b'RW 2 FLAT "/etc/passwd" 0')[:1024].ljust(1024, b"\0")

    assert_refused(
        bench,
        patched(kind, (512, forged)),
        "descriptor is missing, or refers to other files",
        VerificationFailed,
    )


@pytest.fixture
def with_footer(make: Make, tmp_path: Path) -> Callable[..., Path]:
    """Make a vmdk as VMware's tools stream it: where the grains are stands at the end only."""

    def write(descriptor_offset: int = 1) -> Path:
        content = bytearray(make("vmdk streamOptimized").read_bytes())
        footer = bytearray(content[:512])
        footer[28:36] = struct.pack("<Q", descriptor_offset)
        content[56:64] = b"\xff" * 8
        marker = struct.pack("<QII", 1, 0, 3).ljust(512, b"\0")
        path = tmp_path / "footer.vmdk"
        path.write_bytes(content + bytes(-len(content) % 512) + marker + footer + bytes(512))
        return path

    return write


@pytest.mark.parametrize("stream", [True, False])
def test_a_vmdk_with_a_footer_is_converted(
    stream: bool, with_footer: Callable[..., Path], bench: Bench
) -> None:
    assert bench.holds_the_disk(bench.convert(with_footer(), stream=stream))


def test_a_vmdk_footer_that_contradicts_the_header_is_refused(
    with_footer: Callable[..., Path], bench: Bench
) -> None:
    image = with_footer(descriptor_offset=77)

    assert_refused(bench, image, "its header and its footer do not match", VerificationFailed)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((8, struct.pack(">Q", 1 << 20)), "backing file"),
        ((79, b"\x04"), "external data file"),
        ((72, b"\x80"), "uses features of qcow2 that are unknown"),
        ((4, struct.pack(">I", 1)), "is a qcow disk of version 1"),
        ((4, struct.pack(">I", 4)), "uses features of qcow2 that are unknown"),
        ((24, b"\xff" * 8), "its header gives a virtual size of 18446744073709551615 bytes"),
    ],
    ids=["backing offset", "data file bit", "unknown feature", "version 1", "version 4", "size"],
)
def test_a_qcow2_header_that_is_not_safe_is_refused(
    change: tuple[int, bytes], reason: str, patched: Patch, bench: Bench
) -> None:
    assert_refused(bench, patched("qcow2 v3", change), reason, VerificationFailed)


@pytest.mark.parametrize(
    "change",
    [
        (20, struct.pack(">I", 63)),
        (20, struct.pack(">I", 0)),
        (36, struct.pack(">I", 0x7FFFFFFF)),
        (48, struct.pack(">Q", 3)),
        (96, struct.pack(">I", 99)),
        (100, struct.pack(">I", 0x7FFFFFF0)),
    ],
    ids=[
        "cluster bits",
        "no cluster bits",
        "table size",
        "refcounts",
        "refcount order",
        "header",
    ],
)
def test_a_qcow2_that_makes_no_sense_is_refused(
    change: tuple[int, bytes], patched: Patch, bench: Bench
) -> None:
    assert_refused(bench, patched("qcow2 v3", change), r"^the image \(qcow2\) is ", VerificationFailed)


def test_a_disk_that_claims_to_be_huge_is_refused_before_it_is_converted(
    qemu_img: Callable[..., None], bench: Bench, tmp_path: Path
) -> None:
    bomb = tmp_path / "bomb.qcow2"
    qemu_img("create", "-f", "qcow2", "-o", "cluster_size=2M", bomb, "1P")

    assert_refused(bench, bomb, "1024.0 TiB; the limit is 1.0 TiB", LimitExceeded)


def test_an_output_over_the_cap_is_stopped_while_it_is_written(disk: Path, bench: Bench) -> None:
    bench.limit(image_size_cap=disk.stat().st_size)

    assert_refused(
        bench, disk, "qemu-img tried to write more than 4.0 MiB", LimitExceeded, output_format="vhdx"
    )


@pytest.mark.parametrize(
    "kind",
    [
        "qcow2 v3",
        "qcow2 compressed",
        "vmdk streamOptimized",
        "vmdk monolithicSparse",
        "vdi dynamic",
        "vdi static",
        "vhd dynamic",
        "vhdx dynamic",
    ],
)
def test_an_image_that_was_cut_off_is_refused(kind: str, make: Make, bench: Bench, tmp_path: Path) -> None:
    image = tmp_path / "cut"
    image.write_bytes(make(kind).read_bytes()[:-150_000])

    assert_refused(bench, image, r"is not whole: .* bytes are missing", VerificationFailed)


def test_an_image_whose_table_is_elsewhere_is_refused(patched: Patch, bench: Bench) -> None:
    image = patched("qcow2 v3", (40, struct.pack(">Q", 1 << 62)))

    assert_refused(bench, image, "is not whole", VerificationFailed)


def test_clusters_without_references_do_no_harm(patched: Patch, make: Make, bench: Bench) -> None:
    size = make("qcow2 v3").stat().st_size
    refcount_of_the_next_cluster = 2 * (64 << 10) + 2 * (size >> 16)

    leaking = patched("qcow2 v3", (refcount_of_the_next_cluster, b"\0\1"), (size, bytes(64 << 10)))

    assert bench.holds_the_disk(bench.convert(leaking))


@pytest.mark.parametrize("declared", ["qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso", "ami", "ploop"])
def test_bytes_without_a_format_are_not_what_they_are_declared_to_be(
    declared: str, bench: Bench, tmp_path: Path
) -> None:
    noise = tmp_path / "noise"
    noise.write_bytes(random.Random(4).randbytes(1 << 20))

    assert_refused(bench, noise, f"disk_format.*{declared}", VerificationFailed, disk_format=declared)


@pytest.mark.parametrize("target", ["raw", "vdi", "qcow2"])
def test_a_qcow2_declared_raw_is_refused(target: str, make: Make, bench: Bench) -> None:
    reason = "disk_format is raw, but the image is qcow2"

    assert_refused(
        bench, make("qcow2 v3"), reason, VerificationFailed, disk_format="raw", output_format=target
    )


def test_qed_is_refused(qemu_img: Callable[..., None], disk: Path, bench: Bench, tmp_path: Path) -> None:
    image = tmp_path / "old.qed"
    qemu_img("convert", "-f", "raw", "-O", "qed", disk, image)

    assert_refused(bench, image, "it is a disk of an older format", VerificationFailed)


def test_two_formats_at_once_are_refused(iso: Path, make: Make, bench: Bench, tmp_path: Path) -> None:
    content = bytearray(iso.read_bytes())
    content[:512] = make("qcow2 v3").read_bytes()[:512]
    image = tmp_path / "both"
    image.write_bytes(content)

    assert_refused(bench, image, "several formats at once: iso, qcow2", VerificationFailed)


@pytest.mark.parametrize(
    "inner", ["qcow2 v3", "vmdk streamOptimized", "vdi dynamic", "vhd fixed", "vhdx dynamic"]
)
def test_an_image_inside_an_image_is_refused(
    inner: str, make: Make, qemu_img: Callable[..., None], bench: Bench, tmp_path: Path
) -> None:
    outer = tmp_path / "outer.qcow2"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", make(inner), outer)

    assert_refused(
        bench, outer, f"not a proper raw: it looks like {inner.partition(' ')[0]}", VerificationFailed
    )


def test_an_image_with_a_backing_file_inside_an_image_is_refused(
    make: Make, qemu_img: Callable[..., None], bench: Bench, tmp_path: Path
) -> None:
    overlay, outer = tmp_path / "overlay.qcow2", tmp_path / "outer.vdi"
    qemu_img("create", "-f", "qcow2", "-F", "qcow2", "-b", make("qcow2 v3"), overlay)
    qemu_img("convert", "-f", "raw", "-O", "vdi", overlay, outer)

    assert_refused(bench, outer, "not a proper raw: it looks like qcow2", VerificationFailed)


def test_a_bad_boot_flag_is_refused_outside_and_inside(
    with_boot_record: Callable[..., Path],
    disk: Path,
    qemu_img: Callable[..., None],
    bench: Bench,
    tmp_path: Path,
) -> None:
    bad = with_boot_record(disk, boot_flag=0x77)
    outer = tmp_path / "outer.qcow2"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", bad, outer)

    assert_refused(
        bench,
        bad,
        r"not safe: its boot record is odd \(check mbr\): partition 1 has an invalid boot flag",
        VerificationFailed,
        output_format="vdi",
    )
    assert_refused(
        bench,
        outer,
        r"not safe: its boot record is odd \(check mbr\): partition 1 has an invalid boot flag",
        VerificationFailed,
    )
