"""Appliances (.ova), archives made on a Mac, and the choice of one file out of several."""

from __future__ import annotations

import hashlib
import io
import random
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.reported.bench import RAW, UNPACK, Bench

from imageport.testing.command import RunImageport

DISK = random.Random(7).randbytes(300_000).ljust((1 << 20) - 4, b"\0") + b"END\n"
APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        "
MEMBER = {"use": UNPACK, "with": {"member": "*.vmdk"}}

OVF = """<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns="http://schemas.dmtf.org/ovf/envelope/1">
  <References>
    <File ovf:id="file0" ovf:href="app.nvram"/>
    {files}
  </References>
  <DiskSection>{disks}</DiskSection>
</Envelope>
"""


def ovf(*disks: str) -> bytes:
    """Return the description of an appliance that has these *disks*."""
    return OVF.format(
        files="".join(f'<File ovf:href="{name}" ovf:id="d{n}"/>' for n, name in enumerate(disks)),
        disks="".join(f'<Disk ovf:diskId="v{n}" ovf:fileRef="d{n}"/>' for n, _ in enumerate(disks)),
    ).encode()


def tar(*files: tuple[str, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


def zipped(*files: tuple[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return target.getvalue()


@pytest.fixture
def bench(run_imageport: RunImageport) -> Bench:
    return Bench(run_imageport)


@pytest.fixture(scope="module")
def vmdk(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("vmdk")
    (folder / "disk.raw").write_bytes(DISK)
    options = ["-O", "vmdk", "-o", "subformat=streamOptimized"]
    subprocess.run(["qemu-img", "convert", *options, "disk.raw", "disk.vmdk"], cwd=folder, check=True)
    return (folder / "disk.vmdk").read_bytes()


# ------------------------------------------------------------------------------------------------------------- macOS


@pytest.mark.parametrize("step", [MEMBER, UNPACK], ids=["pattern", "no pattern"])
def test_files_that_macos_adds_to_a_tar_are_not_images(
    bench: Bench, vmdk: bytes, step: str | dict[str, Any]
) -> None:
    ova = tar(
        ("._app-disk1.vmdk", APPLE_DOUBLE),
        ("._app.ovf", APPLE_DOUBLE),
        ("app.ovf", b"<Envelope/>"),
        (".DS_Store", b"Bud1"),
        ("app-disk1.vmdk", vmdk),
    )

    bench.assert_stored(bench.imports(ova, step), vmdk)


def test_files_that_macos_adds_to_a_zip_are_not_images(bench: Bench) -> None:
    archive = zipped(("disk.raw", DISK), ("__MACOSX/._disk.raw", APPLE_DOUBLE), ("folder/.DS_Store", b"Bud1"))

    bench.assert_stored(bench.imports(archive, UNPACK), DISK)


@pytest.mark.parametrize("member", ["._disk.raw", "__MACOSX/._disk.raw"])
def test_a_file_that_macos_adds_is_reached_by_its_name(bench: Bench, member: str) -> None:
    archive = zipped(("disk.raw", b"x" * 512), ("__MACOSX/._disk.raw", DISK))

    bench.assert_stored(bench.imports(archive, {"use": UNPACK, "with": {"member": member}}), DISK)


def test_an_archive_that_holds_nothing_else_is_refused(bench: Bench) -> None:
    bench.assert_refused(
        bench.imports(tar(("._disk.raw", APPLE_DOUBLE)), UNPACK),
        5,
        "tar: the archive holds no image, but '._disk.raw'",
        "name the file with the option member of this step if one of them is the image",
    )


# ---------------------------------------------------------------------------------------------------------- patterns


@pytest.mark.parametrize("step", [MEMBER, UNPACK], ids=["pattern", "no pattern"])
@pytest.mark.parametrize("outer", [zipped, tar], ids=["zip", "tar"])
def test_an_appliance_inside_an_archive_of_one_file_is_imported(
    bench: Bench, vmdk: bytes, step: str | dict[str, Any], outer: Callable[..., bytes]
) -> None:
    ova = tar(("app.ovf", b"<Envelope/>"), ("app.vmdk", vmdk))

    bench.assert_stored(bench.imports(outer(("app.ova", ova)), step), vmdk)


@pytest.mark.parametrize("outer", [zipped, tar], ids=["zip", "tar"])
def test_the_case_of_letters_does_not_matter_for_a_pattern(
    bench: Bench, vmdk: bytes, outer: Callable[..., bytes]
) -> None:
    archive = outer(("README", b"read me"), ("APP.VMDK", vmdk), ("app.txt", b""))

    bench.assert_stored(bench.imports(archive, MEMBER), vmdk)


@pytest.mark.parametrize("outer", [zipped, tar], ids=["zip", "tar"])
def test_a_pattern_chooses_between_names_that_differ_by_case(
    bench: Bench, outer: Callable[..., bytes]
) -> None:
    archive = outer(("DISK.RAW", b"x" * 512), ("disk.raw", DISK))

    bench.assert_stored(bench.imports(archive, {"use": UNPACK, "with": {"member": "*.raw"}}), DISK)


# --------------------------------------------------------------------------------------------------------- appliances


@pytest.mark.parametrize(
    "files",
    [
        [("app.ovf", b"<Envelope/>"), ("app.mf", b""), ("app-disk1.vmdk", None)],
        [("app.ovf", ovf("app-disk1.vmdk")), ("boot.img", b"floppy"), ("app-disk1.vmdk", None)],
        [("app.ovf", ovf("disk1")), ("disk1", None), ("other.vmdk", b"no disk")],
        [("./app.ovf", ovf("disk1.vmdk")), ("./disk1.vmdk", None), ("./app.mf", b""), ("./app.cert", b"")],
        [("app.ovf", b"no XML"), ("app.iso", b"tools"), ("APP.VMDK", None)],
        [("app.ovf", b"<!DOCTYPE x [<!ENTITY a 'b'>]><x/>"), ("app.vmdk", None)],
    ],
    ids=["manifest", "floppy", "name without an end", "dots", "no XML", "document type"],
)
def test_the_only_disk_of_an_appliance_is_imported(
    bench: Bench, vmdk: bytes, files: list[tuple[str, bytes | None]]
) -> None:
    ova = tar(*((name, vmdk if content is None else content) for name, content in files))

    bench.assert_stored(bench.imports(ova, UNPACK, RAW), DISK)


@pytest.mark.parametrize(
    "description", [b"<Envelope/>", ovf("app-disk1.vmdk", "app-disk2.vmdk")], ids=["none", "both"]
)
def test_all_disks_of_an_appliance_are_named(bench: Bench, description: bytes) -> None:
    ova = tar(("app.ovf", description), ("app-disk1.vmdk", b"1" * 512), ("app-disk2.vmdk", b"2" * 512))

    bench.assert_refused(
        bench.imports(ova, UNPACK),
        5,
        "tar: the archive holds 2 disks: 'app-disk1.vmdk', 'app-disk2.vmdk'",
        "choose one with the option member of this step, for instance member: '*-disk1.vmdk', or pack exactly one "
        "image",
    )


def test_an_appliance_without_a_disk_is_refused(bench: Bench) -> None:
    bench.assert_refused(
        bench.imports(tar(("app.ovf", b"<Envelope/>"), ("app.mf", b"")), UNPACK),
        5,
        "tar: the archive holds no disk, but 'app.ovf', 'app.mf'",
        "name the file with the option member of this step if one of them is the image",
    )


def test_all_files_that_may_be_the_image_are_named(bench: Bench) -> None:
    names = [f"disk{number}.raw" for number in range(7)]

    bench.assert_refused(
        bench.imports(tar(*((name, b"x" * 512) for name in names)), UNPACK),
        5,
        f"tar: the archive holds 7 files: {', '.join(map(repr, names))}",
        "choose one with the option member of this step, for instance member: 'disk0.raw', or pack exactly one image",
    )


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["a/disk.raw", "b/disk.raw"], "a/disk.raw"),
        (["a-1.raw", "b-1.raw"], "a-1.raw"),
        (["[a].raw", "a.raw"], "[[]a].raw"),
        (["x/[a].raw", "y/[a].raw"], "x/[[]a].raw"),
    ],
)
def test_the_suggested_pattern_fits_one_file(bench: Bench, names: list[str], pattern: str) -> None:
    archive = tar(*((name, DISK if name == names[0] else b"x" * 512) for name in names))
    refused = bench.imports(archive, UNPACK)

    assert f"for instance member: '{pattern}', or" in refused.report["error"]["hint"]
    bench.assert_stored(bench.imports(archive, {"use": UNPACK, "with": {"member": pattern}}), DISK)


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["Vagrantfile", "box.ovf", "packer-disk001.vmdk", "metadata.json"], "*-disk001.vmdk"),
        (["metadata.json", "Vagrantfile", "box.img"], "box.img"),
        (["README.txt", "SHA256SUMS", "disk.raw"], "disk.raw"),
    ],
    ids=["box of VirtualBox", "box of libvirt", "release"],
)
def test_the_suggested_pattern_chooses_the_file_that_is_called_like_a_disk(
    bench: Bench, vmdk: bytes, names: list[str], pattern: str
) -> None:
    files = dict.fromkeys(names, b"text " * 200) | {"box.ovf": ovf("packer-disk001.vmdk")}
    [disk] = [name for name in names if name.endswith((".vmdk", ".img", ".raw"))]
    archive = tar(*((name, vmdk if name == disk else files[name]) for name in names))
    counted = [name for name in names if name in ("Vagrantfile", disk)] if "box.ovf" in names else names

    bench.assert_refused(
        bench.imports(archive, UNPACK),
        5,
        f"tar: the archive holds {len(counted)} files: {', '.join(map(repr, counted))}",
        f"choose one with the option member of this step, for instance member: '{pattern}', or pack exactly one image",
    )
    bench.assert_stored(bench.imports(archive, {"use": UNPACK, "with": {"member": pattern}}), vmdk)


# ----------------------------------------------------------------------------------------------------------- manifest

DESCRIPTION = ovf("app-disk1.vmdk")


def manifest(algorithm: str, content: bytes, form: str = "{}({})= {}") -> bytes:
    digest = hashlib.new(algorithm, content).hexdigest()
    other = hashlib.new(algorithm, DESCRIPTION).hexdigest()
    lines = [("app.ovf", other), ("app-disk1.vmdk", digest)]
    return "".join(form.format(algorithm.upper(), name, value) + "\n" for name, value in lines).encode()


def ova_with(manifest: bytes, vmdk: bytes, *, last: bool) -> bytes:
    files = [("app.ovf", DESCRIPTION), ("app.mf", manifest), ("app-disk1.vmdk", vmdk)]
    return tar(*(files[:1] + files[:0:-1] if last else files))


@pytest.mark.parametrize("last", [False, True], ids=["before", "behind"])
@pytest.mark.parametrize(
    ("algorithm", "form", "step"),
    [
        ("sha1", "{}({})= {}", UNPACK),
        ("sha256", "{} ({}) = {}", MEMBER),
        ("sha512", "{}({})={}\r", UNPACK),
    ],
    ids=["sha1", "sha256", "sha512"],
)
def test_a_disk_is_compared_with_the_manifest_of_its_appliance(
    bench: Bench, vmdk: bytes, algorithm: str, form: str, step: str | dict[str, Any], last: bool
) -> None:
    right = manifest(algorithm, vmdk, form)
    done = bench.imports(ova_with(right, vmdk, last=last), step)
    assert {"name": f"manifest {algorithm}", "verdict": "passed"}.items() <= done.report["source"]["checks"][
        0
    ].items()
    bench.assert_stored(done, vmdk)

    wrong = manifest(algorithm, vmdk + b"x", form)
    bench.assert_refused(
        bench.imports(ova_with(wrong, vmdk, last=last), step),
        5,
        f"tar: the {algorithm} of 'app-disk1.vmdk' is {hashlib.new(algorithm, vmdk).hexdigest()}, "
        f"but the manifest of the appliance has {hashlib.new(algorithm, vmdk + b'x').hexdigest()}",
        "fetch the appliance again, and compare its checksum with the publisher's; 'verify_manifest: false' of this "
        "step imports it all the same",
    )


def test_the_manifest_is_left_out_on_request(bench: Bench, vmdk: bytes) -> None:
    ova = ova_with(manifest("sha256", b"other"), vmdk, last=False)
    step = {"use": UNPACK, "with": {"verify_manifest": False}}

    bench.assert_stored(bench.imports(ova, step), vmdk)


def test_a_manifest_without_the_disk_compares_nothing(bench: Bench, vmdk: bytes) -> None:
    ova = ova_with(b"SHA256(app.ovf)= 0\nMD5(app-disk1.vmdk)= 0\nnonsense\n", vmdk, last=True)

    bench.assert_stored(bench.imports(ova, UNPACK), vmdk)


def test_a_file_called_like_a_manifest_is_one_only_in_an_appliance(bench: Bench, tmp_path: Path) -> None:
    bench.assert_stored(bench.imports(tar(("disk.mf", DISK)), UNPACK), DISK)
