from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from imageport import Image, UnsupportedFormat, VerificationFailed
from imageport_builtin.image_conversion import ImageConversionConfig

if TYPE_CHECKING:
    from tests.imageport_builtin.conversion.conftest import Bench

Make = Callable[[str], Path]
TARGETS = ["raw", "qcow2", "vmdk", "vdi", "vhd", "vhdx"]
KINDS = [
    "qcow2 v3",
    "qcow2 v2",
    "qcow2 compressed",
    "qcow2 zstd",
    "qcow2 extended-l2",
    "qcow2 lazy-refcounts",
    "vmdk monolithicSparse",
    "vmdk streamOptimized",
    "vdi dynamic",
    "vdi static",
    "vhd dynamic",
    "vhd fixed",
    "vhdx dynamic",
    "vhdx fixed",
]


def format_of(kind: str) -> str:
    return kind.partition(" ")[0]


def sha512(image: Image) -> str:
    digest = hashlib.sha512()
    for piece in image.data.chunks():
        digest.update(piece)
    return digest.hexdigest()


def sha512_of_file(path: Path) -> str:
    return hashlib.sha512(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image_becomes_the_raw_disk_it_was_made_from(
    kind: str, make: Make, bench: Bench
) -> None:
    image = bench.convert(make(kind), stream=True)

    assert sha512(image) == sha512_of_file(bench.disk)
    assert image.record.disk_format == "raw"
    assert image.record.container_format == "bare"
    assert image.record.virtual_size == bench.disk.stat().st_size
    assert bench.work_files() == [image.data.path]


@pytest.mark.parametrize("target", ["qcow2", "vmdk", "vdi", "vhd", "vhdx"])
def test_every_format_can_be_written(target: str, bench: Bench) -> None:
    image = bench.convert(bench.disk, output_format=target)

    assert image.record.disk_format == target
    assert image.record.virtual_size == bench.disk.stat().st_size
    assert bench.holds_the_disk(image)


@pytest.mark.parametrize(
    ("kind", "target"), [("vmdk streamOptimized", "qcow2"), ("vhd fixed", "vhdx"), ("vhdx dynamic", "vmdk")]
)
def test_one_virtual_format_becomes_another(kind: str, target: str, make: Make, bench: Bench) -> None:
    image = bench.convert(make(kind), disk_format=format_of(kind), output_format=target)

    assert image.record.disk_format == target
    assert bench.holds_the_disk(image)


@pytest.mark.parametrize("kind", ["qcow2 v3", "vdi dynamic", "vhd dynamic", "vhdx dynamic"])
def test_a_stream_in_the_output_format_passes_without_a_file(kind: str, make: Make, bench: Bench) -> None:
    image = bench.convert(make(kind), stream=True, output_format=format_of(kind))

    assert image.data.path is None
    assert image.record.disk_format == format_of(kind)
    assert sha512(image) == sha512_of_file(make(kind))
    assert bench.work_files() == []


@pytest.mark.parametrize("kind", ["vmdk streamOptimized", "vmdk monolithicSparse", "vhd fixed"])
def test_an_image_that_is_known_by_its_end_is_read_before_it_passes(
    kind: str, make: Make, bench: Bench
) -> None:
    image = bench.convert(make(kind), stream=True, output_format=format_of(kind))

    assert image.data.path in bench.work_files()
    assert sha512(image) == sha512_of_file(make(kind))
    assert image.record.virtual_size == bench.disk.stat().st_size


def test_a_stream_in_a_container_that_is_not_inspected_later_is_inspected_now(
    make: Make, bench: Bench
) -> None:
    image = bench.convert(make("qcow2 v3"), stream=True, container="ova", output_format="qcow2")

    assert image.data.path in bench.work_files()


def test_a_stream_declared_raw_passes_without_a_file(bench: Bench) -> None:
    image = bench.convert(bench.disk, stream=True, disk_format="raw")

    assert image.data.path is None
    assert sha512(image) == sha512_of_file(bench.disk)


def test_an_undeclared_raw_stream_keeps_its_bytes(bench: Bench) -> None:
    image = bench.convert(bench.disk, stream=True)

    assert image.record.disk_format == "raw"
    assert sha512(image) == sha512_of_file(bench.disk)


def test_a_file_in_the_output_format_keeps_its_bytes(make: Make, bench: Bench) -> None:
    image = bench.convert(make("qcow2 v3"), disk_format="qcow2", output_format="qcow2")

    assert sha512(image) == sha512_of_file(make("qcow2 v3"))
    assert image.record.virtual_size == bench.disk.stat().st_size
    assert bench.work_files() == [image.data.path]


@pytest.mark.parametrize("name", ["disk", "iso"])
def test_a_file_that_qemu_img_does_not_have_to_see_is_not_copied(
    name: str, request: pytest.FixtureRequest, bench: Bench
) -> None:
    path: Path = request.getfixturevalue(name)

    image = bench.convert(path)

    assert image.data.path == path
    assert image.record.virtual_size == path.stat().st_size
    assert bench.work_files() == []


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("declared", ["iso", None])
def test_an_iso_passes_untouched(declared: str | None, stream: bool, iso: Path, bench: Bench) -> None:
    image = bench.convert(iso, stream=stream, disk_format=declared, output_format="qcow2")

    assert image.record.disk_format == "iso"
    assert sha512(image) == sha512_of_file(iso)
    assert bench.work_files() == []


def test_an_iso_that_boots_from_a_disk_too_passes(
    iso: Path, with_boot_record: Callable[..., Path], bench: Bench
) -> None:
    hybrid = with_boot_record(iso)

    assert sha512(bench.convert(hybrid, stream=True, disk_format="iso")) == sha512_of_file(hybrid)


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("declared", ["raw", "qcow2"])
def test_an_iso_declared_as_something_else_is_refused(
    declared: str, stream: bool, iso: Path, bench: Bench
) -> None:
    with pytest.raises(VerificationFailed, match=f"disk_format is {declared}, but the image is iso"):
        bench.convert(iso, stream=stream, disk_format=declared)


def test_a_partitioned_disk_is_raw(with_boot_record: Callable[..., Path], bench: Bench) -> None:
    disk = with_boot_record(bench.disk)

    image = bench.convert(disk, disk_format="raw", output_format="qcow2")
    again = bench.convert(image.data.path or disk, disk_format="qcow2")

    assert again.record.disk_format == "raw"
    assert sha512(again) == sha512_of_file(disk)


def test_a_snapshot_inside_a_qcow2_does_no_harm(
    make: Make, qemu_img: Callable[..., None], bench: Bench
) -> None:
    image = bench.work.parent / "snapshot.qcow2"
    image.write_bytes(make("qcow2 v3").read_bytes())
    qemu_img("snapshot", "-c", "before", image)

    assert sha512(bench.convert(image)) == sha512_of_file(bench.disk)


@pytest.mark.parametrize("target", TARGETS[1:])
def test_a_disk_of_an_odd_size_is_filled_up_to_whole_sectors(target: str, bench: Bench) -> None:
    odd = bench.work.parent / "odd.raw"
    odd.write_bytes(b"\x07" * 1_000_001)

    assert bench.convert(odd, output_format=target).record.virtual_size == 1_000_448


def test_compress_makes_a_smaller_qcow2_of_the_same_content(bench: Bench) -> None:
    text = bench.work.parent / "text.raw"
    text.write_bytes(b"the same bytes again and again\0" * 100_000)
    plain = bench.convert(text, output_format="qcow2")
    small = bench.convert(text, output_format="qcow2", compress=True)

    assert (small.data.size or 0) * 5 < (plain.data.size or 0)
    assert small.record.virtual_size == plain.record.virtual_size
    assert sha512(bench.convert(small.data.path or text)) == sha512(bench.convert(plain.data.path or text))


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "qcow2"])
def test_compress_is_refused_for_other_formats(target: str) -> None:
    with pytest.raises(ValidationError, match="compress needs output_format qcow2"):
        ImageConversionConfig(output_format=target, compress=True)


@pytest.mark.parametrize("allowed", [[], ["monolithicSparse"]])
def test_a_vmdk_of_a_type_that_is_not_allowed_is_refused(
    allowed: list[str], make: Make, bench: Bench
) -> None:
    with pytest.raises(VerificationFailed, match="vmdk of type streamOptimized; allowed: "):
        bench.convert(make("vmdk streamOptimized"), vmdk_allowed_types=allowed)


@pytest.mark.parametrize("output_format", ["raw", "vmdk"])
def test_the_allowed_types_hold_for_images_that_need_no_conversion(
    output_format: str, make: Make, bench: Bench
) -> None:
    with pytest.raises(VerificationFailed, match="allowed: none"):
        bench.convert(
            make("vmdk monolithicSparse"), stream=True, vmdk_allowed_types=[], output_format=output_format
        )


def test_progress_is_reported_in_bytes_of_the_disk(make: Make, bench: Bench) -> None:
    bench.convert(make("qcow2 v3"), output_format="vmdk")

    done = [event.done for event in bench.events if event.kind == "progress" and event.lane == "convert"]
    assert done[-1] == bench.disk.stat().st_size
    assert done == sorted(done)


def test_a_file_of_the_user_is_never_removed(make: Make, bench: Bench) -> None:
    image = bench.convert(make("qcow2 v3"))

    assert make("qcow2 v3").exists()
    assert bench.work_files() == [image.data.path]


def test_a_file_that_an_earlier_step_made_is_removed_once_it_is_converted(make: Make, bench: Bench) -> None:
    unpacked = bench.work / "image-1.unpacked"
    unpacked.write_bytes(make("qcow2 v3").read_bytes())

    image = bench.convert(unpacked)

    assert bench.work_files() == [image.data.path]


def test_an_encrypted_qcow2_cannot_be_converted(qemu_img: Callable[..., None], bench: Bench) -> None:
    path = bench.work.parent / "secret.qcow2"
    options = ["-o", "encrypt.format=aes,encrypt.key-secret=key"]
    qemu_img("create", "--object", "secret,id=key,data=open-sesame", "-f", "qcow2", *options, path, "1M")

    with pytest.raises(UnsupportedFormat, match=r"^the image is encrypted$") as failure:
        bench.convert(path)
    assert failure.value.hint.startswith("decrypt it where the key is")
    assert bench.work_files() == []


def test_a_luks_volume_cannot_be_converted(bench: Bench) -> None:
    path = bench.work.parent / "volume.luks"
    # Only the magic, the version and the offset of the payload (in sectors) are looked at; making a real
    # volume takes seconds, on purpose.
    header = b"LUKS\xba\xbe\0\1".ljust(104, b"\0") + (8).to_bytes(4, "big")
    path.write_bytes(header.ljust(1 << 20, b"\0"))

    with pytest.raises(UnsupportedFormat, match=r"^the image is encrypted$") as failure:
        bench.convert(path)
    assert failure.value.hint.startswith("decrypt it where the key is")
    assert bench.work_files() == []
