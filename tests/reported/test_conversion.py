"""Images that other programs make and want, through the whole command."""

from __future__ import annotations

import gzip
import random
import struct
import subprocess
from pathlib import Path

import pytest
from tests.bombs import qcow2_bomb
from tests.reported.bench import RAW, UNPACK, Bench

from imageport.testing.command import Finished, RunImageport

MIB = 1 << 20
DISK = random.Random(11).randbytes(500_000).ljust(8 * MIB - 300_000, b"\0") + random.Random(12).randbytes(
    300_000
)
QCOW2 = {"use": "image_conversion", "with": {"output_format": "qcow2"}}


@pytest.fixture
def bench(run_imageport: RunImageport) -> Bench:
    return Bench(run_imageport)


def converted(folder: Path, content: bytes, driver: str, *options: str) -> Path:
    source, target = folder / "converted.raw", folder / f"converted.{driver}"
    source.write_bytes(content)
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", driver, *options, source, target], check=True)
    return target


def disk_in(path: Path, driver: str) -> bytes:
    back = path.parents[1] / "back.raw"
    options = f"driver={driver},file.driver=file,file.filename={path}"
    subprocess.run(["qemu-img", "convert", "--image-opts", options, "-O", "raw", back], check=True)
    return back.read_bytes()


def only_copy(done: Finished) -> Path:
    assert done.exit_code == 0, done.report["error"]
    [copy] = done.copies.values()
    return copy


@pytest.mark.parametrize("source", ["raw", "qcow2", "vpc"])
def test_a_vhd_for_azure_can_be_made(bench: Bench, tmp_path: Path, source: str) -> None:
    disk = DISK + random.Random(13).randbytes(512)
    options = {"output_format": "vhd", "subformat": "fixed", "pad_to": "1 MiB"}
    image = disk if source == "raw" else converted(tmp_path, disk, source)

    done = bench.imports(image, {"use": "image_conversion", "with": options})

    content = only_copy(done).read_bytes()
    footer = content[-512:]
    assert footer[:8] == b"conectix"
    assert int.from_bytes(footer[60:64], "big") == 2
    assert int.from_bytes(footer[48:56], "big") == len(content) - 512
    assert (len(content) - 512) % MIB == 0
    assert content[:-512].rstrip(b"\0") == disk.rstrip(b"\0")
    image_record = done.report["image"]
    assert (image_record["disk_format"], image_record["virtual_size"]) == ("vhd", len(content) - 512)
    bench.assert_stored(done, content)


def with_other_geometry(path: Path, creator: bytes) -> bytes:
    """Return the VHD with a footer as *creator* writes it: its geometry has 16320 of the 16384 sectors."""
    content = bytearray(path.read_bytes())
    footers = [len(content) - 512, *([0] if content.startswith(b"conectix") else [])]
    for start in footers:
        footer = content[start : start + 512]
        footer[28:32] = creator
        struct.pack_into(">HBB", footer, 56, 240, 4, 17)
        footer[64:68] = bytes(4)
        struct.pack_into(">I", footer, 64, ~sum(footer) & 0xFFFFFFFF)
        content[start : start + 512] = footer
    return bytes(content)


@pytest.mark.parametrize("creator", [b"vbox", b"vpc ", b"win ", b"acme"])
@pytest.mark.parametrize("subformat", ["fixed", "dynamic"])
@pytest.mark.parametrize("step", [RAW, QCOW2], ids=["raw", "qcow2"])
def test_a_vhd_keeps_its_end_whatever_its_geometry(
    bench: Bench, tmp_path: Path, creator: bytes, subformat: str, step: dict[str, object]
) -> None:
    image = converted(tmp_path, DISK, "vpc", "-o", f"subformat={subformat},force_size=on")

    done = bench.imports(with_other_geometry(image, creator), step)

    copy = only_copy(done)
    assert done.report["image"]["virtual_size"] == len(DISK)
    assert disk_in(copy, "raw" if step is RAW else "qcow2") == DISK
    bench.assert_stored(done, copy.read_bytes())


@pytest.mark.parametrize("output_format", ["raw", "vdi"])
def test_a_few_kilobytes_that_become_gigabytes_are_refused(bench: Bench, output_format: str) -> None:
    packed = gzip.compress(qcow2_bomb(1024 * MIB))
    assert len(packed) < 32 << 10
    step = {"use": "image_conversion", "with": {"output_format": output_format}}

    done = bench.imports(packed, UNPACK, step, arguments=("--disk-format", "qcow2"))

    message = done.report["error"]["message"]
    assert message.startswith("the disk in the qcow2 image expands more than 1000 to 1: ")
    bench.assert_refused(
        done, 1, message, "it looks like a decompression bomb; raise max_ratio of this step if it is not"
    )


@pytest.fixture
def hybrid(tmp_path: Path) -> bytes:
    """An ISO that boots from a disk, too, as boot loaders and installers are published."""
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "readme.txt").write_text("a rescue disc\n")
    iso = tmp_path / "disc.iso"
    subprocess.run(["genisoimage", "-quiet", "-input-charset", "utf-8", "-o", iso, tree], check=True)
    content = bytearray(iso.read_bytes())
    content[446:462] = struct.pack("<B3sB3sII", 0x80, b"\0\2\0", 0xCD, b"\0\0\0", 1, len(content) // 512 - 1)
    content[510:512] = b"\x55\xaa"
    return bytes(content)


@pytest.mark.parametrize("driver", ["qcow2", "vmdk", "vdi", "vpc", "vhdx"])
@pytest.mark.parametrize("declared", [False, True])
def test_a_disk_that_holds_an_iso_is_read_out_of_every_format(
    bench: Bench, tmp_path: Path, hybrid: bytes, driver: str, declared: bool
) -> None:
    options = {"vpc": ["-o", "force_size=on"], "vmdk": ["-o", "subformat=streamOptimized"]}
    image = converted(tmp_path, hybrid, driver, *options.get(driver, []))
    arguments = ("--disk-format", {"vpc": "vhd"}.get(driver, driver)) if declared else ()

    done = bench.imports(image, RAW, arguments=arguments)

    assert done.exit_code == 0, done.report["error"]
    record = done.report["image"]
    assert (record["disk_format"], record["virtual_size"]) == ("raw", len(hybrid))
    bench.assert_stored(done, hybrid)


def test_text_that_is_declared_raw_is_converted(bench: Bench) -> None:
    text = b"no disk at all, but it is wanted as one\n" * 100

    done = bench.imports(text, QCOW2, arguments=("--disk-format", "raw"))

    copy = only_copy(done)
    assert done.report["image"]["disk_format"] == "qcow2"
    assert disk_in(copy, "qcow2") == text.ljust(-(-len(text) // 512) * 512, b"\0")
    bench.assert_stored(done, copy.read_bytes())


def test_an_iso_that_is_declared_raw_is_converted(bench: Bench, hybrid: bytes) -> None:
    done = bench.imports(hybrid, QCOW2, arguments=("--disk-format", "raw"))

    copy = only_copy(done)
    record = done.report["image"]
    assert (record["disk_format"], record["virtual_size"]) == ("qcow2", len(hybrid))
    assert disk_in(copy, "qcow2") == hybrid
    bench.assert_stored(done, copy.read_bytes())
