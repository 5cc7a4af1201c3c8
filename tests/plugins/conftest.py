"""Packages that pip installs from outside of the repository, and a folder in which to use them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.installing import REPOSITORY, packages_outside

from imageport.testing.forked import Forked
from imageport.testing.running import Finished

PACKAGES = Path(__file__).with_name("packages")


@dataclass
class Desk:
    """A folder with a separate site, and the packages that are installed there."""

    folder: Path
    installed: tuple[Path, ...]

    def imageport(self, *arguments: str) -> Finished:
        """Run the command in the folder."""
        environment = {
            "HOME": str(self.folder),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "PYTHONPATH": os.pathsep.join(map(str, self.installed)),
        }
        return Forked(arguments, self.folder, {**os.environ, **environment}).finish()

    def pipeline(self, *steps: str, source: str = "glance-direct", stores: list[Any] | None = None) -> str:
        """Write a pipeline of plugins without options, and return its name."""
        stores = stores or [{"use": "file", "id": "plain", "with": {"directory": "./plain"}}]
        pipeline = {
            "name": "test",
            "source": {"use": source},
            "steps": [{"use": step} for step in steps],
            "stores": stores,
        }
        name = f"{'-'.join(steps) or source}.yaml"
        (self.folder / name).write_text(json.dumps(pipeline))
        return name

    def run(self, pipeline: str, *arguments: str) -> dict[str, Any]:
        """Import a small disk and return the report."""
        disk = self.folder / "disk.raw"
        disk.write_bytes(b"boot me".ljust(1 << 20, b"\0"))
        done = self.imageport("run", pipeline, disk.name, *arguments, "--json")
        assert done.stdout, done.stderr
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        assert done.exit_code == (0 if report["status"] == "success" else done.exit_code or -1)
        return report

    def files(self) -> list[str]:
        """Return what the imports have left, but for the catalog."""
        folders = (self.folder / "plain", self.folder / "data/imageport/staging")
        return [str(path) for folder in folders for path in folder.rglob("*")]


@pytest.fixture(scope="session")
def first_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the tutorial for authors, installed."""
    package = REPOSITORY / "docs/tutorial/first-plugin"
    return packages_outside(tmp_path_factory.mktemp("first-plugin"), package)


@pytest.fixture(scope="session")
def hostile_packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages that are broken, hostile, or quarrel about a name, installed."""
    packages = sorted(path.parent for path in PACKAGES.glob("*/pyproject.toml"))
    # The import of one plugin of the villain never ends, which takes time in each list.
    packages.remove(PACKAGES / "acme_villain")
    return packages_outside(tmp_path_factory.mktemp("hostile"), *packages)


@pytest.fixture(scope="session")
def villain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hostile package, each of whose plugins breaks one promise, installed."""
    return packages_outside(tmp_path_factory.mktemp("villain"), PACKAGES / "acme_villain")


@pytest.fixture
def desk(tmp_path: Path) -> Callable[..., Desk]:
    """Return a function that makes a folder in which the packages of the given folders are installed."""

    def make(*installed: Path) -> Desk:
        return Desk(tmp_path, installed)

    return make
