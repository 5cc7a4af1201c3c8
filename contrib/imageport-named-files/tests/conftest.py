"""Every test here imports real images with the real command, as an operator would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass
class Site:
    """A folder with everything that imports of one test use."""

    folder: Path

    def imageport(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command in the folder."""
        homes = {"HOME": str(self.folder), "XDG_DATA_HOME": str(self.folder / "data")}
        return subprocess.run(
            [sys.executable, "-m", "imageport", *arguments],
            cwd=self.folder,
            env={**os.environ, **homes},
            capture_output=True,
            text=True,
            check=False,
        )

    def run(self, steps: list[Any], stores: list[Any], *arguments: str) -> dict[str, Any]:
        """Import a local file and return the report."""
        pipeline = {"name": "test", "source": {"use": "glance-direct"}, "steps": steps, "stores": stores}
        (self.folder / "pipeline.yaml").write_text(json.dumps(pipeline))
        done = self.imageport("run", "pipeline.yaml", *arguments, "--json")
        assert done.stdout, done.stderr
        report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return report

    def disk(self, name: str = "disk.raw", content: bytes = b"boot me", size: int = 3 << 20) -> str:
        """Write a sparse disk that begins with *content*, and return its name."""
        with (self.folder / name).open("wb") as file:
            file.write(content)
            file.truncate(size)
        return name

    def library(self) -> list[str]:
        """Return the names in the folder of the store."""
        folder = self.folder / "library"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)
