"""A power failure where the store and the catalog are on different file systems.

The store is on an ext4 file system in a file, and the power is cut by copying that file: what the kernel has not
written to the disk yet is lost, and mounting the copy replays the journal, as after a crash. The catalog keeps
everything. To mount needs root, and a kernel with loop devices.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.faults.journeys import journey

from imageport.testing.command import RunImageport

SITE = """\
catalog: sqlite:///catalog.db
staging: {{directory: staging}}
stores:
  - {{use: file, id: other, with: {{directory: other}}}}
  - {{use: file, id: disk, with: {{directory: {directory}}}}}
"""
PIPELINE = "name: import\nsource: {use: glance-direct}\n"


@dataclass
class Disk:
    """A separate file system."""

    file: Path
    folder: Path

    def mount(self) -> None:
        """Mount it; the kernel writes what it has to only when it is asked to."""
        # The journal would be written every five seconds otherwise.
        subprocess.run(["mount", "-o", "loop,commit=300", self.file, self.folder], check=True)

    def unmount(self) -> None:
        """Unmount it, whatever is on it."""
        subprocess.run(["umount", self.folder], check=True)

    def cut_power(self) -> None:
        """Lose what is not on the disk."""
        crashed = self.file.with_suffix(".crashed")
        subprocess.run(["cp", "--sparse=always", self.file, crashed], check=True)
        self.unmount()
        crashed.rename(self.file)
        self.mount()

    def files(self) -> list[Path]:
        """Return all files on it, but for those of the file system itself."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return sorted(path for path in found if "lost+found" not in path.parts)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a disk that is a file")
    made = Disk(tmp_path / "disk.img", tmp_path / "disk")
    made.folder.mkdir()
    with made.file.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", made.file], check=True)
    made.mount()
    yield made
    made.unmount()


@pytest.fixture
def run(run_imageport: RunImageport, site_folder: Path, disk: Disk) -> RunImageport:
    directory = disk.folder / "images" / "of" / "site"
    (site_folder / "imageport.yaml").write_text(SITE.format(directory=directory))
    (site_folder / "import.yaml").write_text(PIPELINE)
    return run_imageport


def _import(run: RunImageport, source: Path) -> str:
    done = run.inside("run", "import.yaml", source, "--json", "--all-stores")
    assert done.exit_code == 0, done.stderr
    return str(done.report["image"]["id"])


def test_a_published_copy_is_there_in_a_folder_that_was_just_made(
    run: RunImageport, disk: Disk, raw_disk: Path
) -> None:
    _import(run, raw_disk)
    disk.cut_power()
    [copy] = disk.files()
    assert copy.read_bytes() == raw_disk.read_bytes()


def test_a_deleted_image_does_not_come_back(run: RunImageport, disk: Disk, raw_disk: Path) -> None:
    image = _import(run, raw_disk)
    os.sync()
    assert run.inside("images", "delete", image, "--yes").exit_code == 0
    disk.cut_power()
    assert disk.files() == []


def test_a_deleted_copy_does_not_come_back(run: RunImageport, disk: Disk, raw_disk: Path) -> None:
    image = _import(run, raw_disk)
    os.sync()
    deleted = run.inside("images", "delete", image, "--store", "disk", "--yes", "--role", "admin")
    assert deleted.exit_code == 0
    disk.cut_power()
    assert disk.files() == []


def test_what_a_roll_back_has_removed_does_not_come_back(disk: Disk, tmp_path: Path) -> None:
    with journey(disk.folder.parent, "stream", 1) as trip:
        trip.move_store("store0", "disk/images")
        trip.once()
        passed = trip.once().passed()
        links = [number for number, moment in enumerate(passed) if moment.startswith("os.link")]
        known = disk.files()
        for at in (links[0] + 1, links[-1] + 1):
            image = trip.ready()
            killed = trip.machine.run(*trip.arguments(image), signals={at: signal.SIGKILL})
            assert killed.status == -signal.SIGKILL
            assert len(disk.files()) > len(known)
            os.sync()
            assert trip.machine.run("gc").status == 0
            disk.cut_power()
            assert disk.files() == known
