"""Fetch packages of the distribution and unpack them below the project, without installing anything.

``python -m tests.boot.packages`` does it; after that, tests in several processes share the files.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "boot-run"

#: What boots, and a boot loader for what has none. All of Debian 12.
PACKAGES = (
    "grub-rescue-pc",
    "ipxe",
    "memtest86+",
    "debian-installer-12-netboot-amd64",
    "syslinux",
    "syslinux-common",
)


SYSTEM = FOLDER / "system"


def fetch() -> None:
    """Put the files of all packages below ``SYSTEM``, unless they are there."""
    if SYSTEM.is_dir():
        return
    packages, unfinished = FOLDER / "packages", FOLDER / "system.partial"
    packages.mkdir(parents=True, exist_ok=True)
    subprocess.run(["apt-get", "--quiet", "download", *PACKAGES], cwd=packages, check=True)
    shutil.rmtree(unfinished, ignore_errors=True)
    for package in sorted(packages.glob("*.deb")):
        subprocess.run(["dpkg-deb", "--extract", package, unfinished], check=True)
    unfinished.rename(SYSTEM)


if __name__ == "__main__":
    fetch()
