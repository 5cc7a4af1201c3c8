"""Every test here imports real images, as an operator would."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from imageport.testing import Finished, RunImageport


@dataclass
class Site:
    """A folder with everything that imports of one test use."""

    folder: Path
    imageport: RunImageport

    def run(self, steps: list[Any], stores: list[Any], *arguments: str) -> dict[str, Any]:
        """Import a local file and return the report."""
        pipeline = {"name": "test", "source": {"use": "glance-direct"}, "steps": steps, "stores": stores}
        (self.folder / "pipeline.yaml").write_text(json.dumps(pipeline))
        return self("run", "pipeline.yaml", *arguments, "--json").report

    def __call__(self, *arguments: str) -> Finished:
        """Run the command in the folder."""
        return self.imageport.inside(*arguments)

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
def site(site_folder: Path, run_imageport: RunImageport) -> Site:
    return Site(site_folder, run_imageport)
