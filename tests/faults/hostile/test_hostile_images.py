"""Every hostile image through whole imports: refused with a reason, soon, in little memory, and nothing is left."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.faults.hostile import archives, disks
from tests.faults.machine import Machine, machine

#: Seconds that no import here may take, and bytes that neither it nor a program it starts may.
DEADLINE = 30.0
MEMORY = 512 << 20

PIPELINE = """\
name: {name}
source: {{use: glance-direct}}
steps:
  - use: image_decompression
{conversion}
stores:
  - {{use: file, id: one, with: {{directory: {folder}/one}}}}
  - {{use: file, id: two, with: {{directory: {folder}/two}}}}
"""


@dataclass(frozen=True)
class Refused:
    """The exit code and a part of the message with which an image is refused."""

    code: int
    message: str


@dataclass(frozen=True)
class Hostile:
    """How an image is made, and what it is refused with as it is, and with a conversion; None: like any image."""

    make: Callable[[Path], Path]
    plain: Refused | None
    converting: Refused | None


def never(make: Callable[[Path], Path], code: int, message: str) -> Hostile:
    """Return what is refused with and without a conversion."""
    return Hostile(make, Refused(code, message), Refused(code, message))


def opened(make: Callable[[Path], Path], code: int, message: str) -> Hostile:
    """Return what is refused when it is converted, and is kept as it is otherwise."""
    return Hostile(make, None, Refused(code, message))


def harmless(make: Callable[[Path], Path]) -> Hostile:
    """Return what only looks dangerous."""
    return Hostile(make, None, None)


FAILED, UNSAFE, WRONG = 1, 5, 5
CODECS = ("gzip", "bzip2", "xz", "zstd", "zip", "tar", "7z", "lha")

CORPUS = {
    "backing file": never(disks.backing_file, UNSAFE, "has a backing file"),
    "data file": never(disks.data_file, UNSAFE, "external data file"),
    "vmdk descriptor": never(disks.vmdk_descriptor, UNSAFE, "a descriptor"),
    "vmdk extents": never(disks.vmdk_extents, UNSAFE, "a descriptor"),
    "vmdk foreign extent": never(disks.vmdk_foreign_extent, UNSAFE, "refers to other files"),
    "vmdk parent": never(disks.vmdk_parent, UNSAFE, "differencing disk"),
    "vhd parent": never(disks.vhd_parent, UNSAFE, "differencing disk"),
    "vdi parent": never(disks.vdi_parent, UNSAFE, "differencing disk"),
    "vhdx parent": never(disks.vhdx_parent, UNSAFE, "differencing disk"),
    "qcow2 and iso": never(disks.qcow2_and_iso, UNSAFE, "several formats at once"),
    "qcow2 and vhd": never(disks.qcow2_and_vhd, UNSAFE, "several formats at once"),
    "qcow2 and boot record": never(disks.qcow2_and_boot_record, UNSAFE, "several formats at once"),
    "iso and boot record": harmless(disks.iso_and_boot_record),
    "bad boot flag": never(disks.bad_boot_flag, UNSAFE, "invalid boot flag"),
    "image in image": opened(disks.image_in_image, UNSAFE, "looks like qcow2"),
    "encrypted disk": opened(disks.encrypted, WRONG, "encrypted"),
    "luks": opened(disks.luks, WRONG, "encrypted"),
    "qed": never(disks.qed, UNSAFE, "it is a disk of an older format"),
    "huge disk": never(disks.huge_disk, FAILED, "the limit is 16.0 MiB"),
    "huge first table": never(disks.huge_first_table, UNSAFE, "entries in its L1 table"),
    "huge snapshot table": never(disks.huge_snapshot_table, UNSAFE, "is not whole"),
    "table elsewhere": never(disks.table_elsewhere, UNSAFE, "is not whole"),
    "cut off disk": never(disks.cut_off, UNSAFE, "is not whole"),
    **{f"{kind} bomb": never(archives.bomb(kind), FAILED, "than 16.0 MiB") for kind in CODECS},
    "zip in zip bomb": never(archives.bomb("zip", "zip"), FAILED, "than 16.0 MiB"),
    "tar.xz in 7z bomb": never(archives.bomb("tar", "xz", "7z"), FAILED, "than 16.0 MiB"),
    **{f"cut off {kind}": never(archives.cut_off(kind), WRONG, f"{kind}:") for kind in CODECS},
    "too deep": never(archives.too_deep, FAILED, "more than 4 archives"),
    "zip with ..": harmless(archives.zip_of("../../x")),
    "zip with a path": harmless(archives.zip_of("/etc/x")),
    "zip of two": never(archives.zip_of("../x", "/etc/x"), WRONG, "'../x', '/etc/x'"),
    "7z with ..": never(archives.seven_zip_with_a_path, WRONG, "../x"),
    "encrypted zip": never(archives.encrypted, WRONG, "encrypted"),
    "tar symlink": never(archives.tar_of(tarfile.SYMTYPE), WRONG, "is a link"),
    "tar hard link": never(archives.tar_of(tarfile.LNKTYPE), WRONG, "is a link"),
    "tar device": never(archives.tar_of(tarfile.BLKTYPE), WRONG, "is a link, a device"),
    "tar pipe": never(archives.tar_of(tarfile.FIFOTYPE), WRONG, "a device or the like"),
    "tar without end": never(archives.tar_without_end, FAILED, "more than 10000 members"),
}


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine that takes no image above 16 MiB, with a pipeline that converts and one that does not."""
    folder = tmp_path_factory.mktemp("victim")
    conversions = {"plain": "", "converting": "  - use: image_conversion"}
    for name, conversion in conversions.items():
        text = PIPELINE.format(name=name, conversion=conversion, folder=folder)
        (folder / f"{name}.yaml").write_text(text)
    with machine(folder, ["one", "two"]) as made:
        with (folder / "imageport.yaml").open("a") as site:
            site.write("limits: {image_size_cap: 16 MiB}\n")
        yield made


@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_image_is_refused_or_does_no_harm(name: str, victim: Machine, tmp_path: Path) -> None:
    hostile = CORPUS[name]
    image = hostile.make(tmp_path)
    around = set(victim.folder.parent.iterdir())
    for pipeline, refused in (("plain", hostile.plain), ("converting", hostile.converting)):
        command = victim.start("run", f"{pipeline}.yaml", image, "--disk-format", "auto", "--json")
        victim.wait(command, DEADLINE)
        error = command.report["error"]
        if refused is None:
            assert command.status == 0, error
        else:
            assert command.status == refused.code, error
            assert refused.message in error["message"]
            assert error["hint"]
        assert command.peak < MEMORY
        assert set(victim.folder.parent.iterdir()) == around
        assert not os.path.lexists("/etc/x")
        victim.assert_nothing_left()
