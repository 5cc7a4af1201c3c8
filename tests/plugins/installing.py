"""Installs packages with pip, as users do, and leaves the environment of the tests as it is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]


def pip_install(target: Path, *packages: Path) -> None:
    """Install *packages* with pip into the folder *target*."""
    options = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target)]
    done = subprocess.run([*command, *map(str, packages)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def packages_outside(folder: Path, *packages: Path) -> Path:
    """Copy *packages* out of the repository, install them, and return where they are installed."""
    copies = [
        Path(
            shutil.copytree(
                package, folder / "sources" / package.name, ignore=shutil.ignore_patterns("__pycache__")
            )
        )
        for package in packages
    ]
    pip_install(folder / "site", *copies)
    return folder / "site"
