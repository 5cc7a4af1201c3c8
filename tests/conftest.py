"""Fixtures for tests of all areas: the real command on a separate machine, a web server, and a disk."""

from __future__ import annotations

import random
import signal
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.plugin_folder import acme, plugin_folder
from tests.servers.shared import begin_run, end_run

__all__ = ["acme", "plugin_folder"]

#: Generated inputs are the same in every run, or new ones with "random", and may take as long as the machine needs.
settings.register_profile("random", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("random"), derandomize=True, database=None)
settings.load_profile("same")

SITE = """\
catalog: sqlite:///catalog.db
staging: {directory: staging}
network: {allow_networks: [127.0.0.0/8]}
stores:
  - {use: file, id: default, with: {directory: images}}
"""


def pytest_configure() -> None:
    """Undo what a shell does to commands in the background: they, and all that they start, ignore SIGINT."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    begin_run()


def pytest_unconfigure() -> None:
    """Remove the folder of shared servers, unless the last of them does it."""
    end_run()


@pytest.fixture
def site_folder(tmp_path: Path) -> Path:
    """Return a working folder with a site file: loopback allowed, one store ``default`` in ``images/``."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "imageport.yaml").write_text(SITE)
    return folder


@pytest.fixture(scope="session")
def raw_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a partitioned disk of 24 MiB: a boot record, data that does not compress, text, and holes.

    Shared by all tests, so only to be read.
    """
    disk = tmp_path_factory.mktemp("disk") / "disk.raw"
    entry = struct.pack("<B3sB3sII", 0x80, b"\0\x02\0", 0x83, b"\xfe\xff\xff", 2048, 47104)
    with disk.open("wb") as file:
        file.truncate(24 << 20)
        file.write(bytes(446) + entry + bytes(48) + b"\x55\xaa")
        file.seek(1 << 20)
        file.write(random.Random(7).randbytes(3 << 20))
        file.seek((12 << 20) + 12345)
        file.write(b"all work and no play\n" * 50_000)
    return disk
