from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from imageport.testing.command import sha512


@pytest.fixture(scope="session")
def raw_digest(raw_disk: Path) -> str:
    """Return the SHA-512 of the shared disk."""
    return sha512(raw_disk)


@pytest.fixture(scope="session")
def qcow2_disk(raw_disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the shared disk as qcow2."""
    return _converted(raw_disk, tmp_path_factory.mktemp("disk") / "disk.qcow2", "qcow2")


@pytest.fixture(scope="session")
def vmdk_disk(raw_disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the shared disk as it lies in virtual appliances."""
    target = tmp_path_factory.mktemp("disk") / "disk.vmdk"
    return _converted(raw_disk, target, "vmdk", "-o", "subformat=streamOptimized")


def _converted(disk: Path, target: Path, target_format: str, *options: str) -> Path:
    command = ["qemu-img", "convert", "-f", "raw", "-O", target_format, *options, str(disk), str(target)]
    subprocess.run(command, check=True)
    return target
