from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imageport.testing.forked import Forked
from imageport.testing.running import Finished

PIPELINE = """
name: faults
source: {{use: glance-direct}}
steps:
  - use: image_decompression
  - use: image_conversion
    with: {{output_format: {output}}}
stores:
  - {{use: file, id: one, with: {{directory: {one}}}}}
  - {{use: file, id: two, with: {{directory: {two}}}}}
all_stores_must_succeed: {must}
"""


@dataclass
class Bench:
    """A site and a pipeline in a folder, and the real command."""

    folder: Path

    def __post_init__(self) -> None:
        self.one, self.two, self.staging = (self.folder / name for name in ("one", "two", "staging"))
        self.site = self.folder / "imageport.yaml"
        self.site.write_text(
            f"catalog: sqlite:///{self.folder}/catalog.db\nstaging: {{directory: {self.staging}}}\n"
        )
        self.pipeline()

    def pipeline(self, *, output: str = "raw", must: bool = True) -> None:
        """Write the pipeline."""
        text = PIPELINE.format(output=output, one=self.one, two=self.two, must=str(must).lower())
        (self.folder / "pipeline.yaml").write_text(text)

    def command(self, *arguments: str | Path) -> list[str]:
        """Return the command line of imageport with *arguments*."""
        return [sys.executable, "-m", "imageport", "--config", str(self.site), *map(str, arguments)]

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start the command."""
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**os.environ, "HOME": str(self.folder)},
        )

    def run(self, *arguments: str | Path) -> Finished:
        """Run the command to its end."""
        environment = {**os.environ, "HOME": str(self.folder)}
        done = Forked(["--config", self.site, *arguments], self.folder, environment).finish()
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def importing(self, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
        """Run ``run --json`` on the pipeline and return the exit code and the report."""
        done = self.run("run", "pipeline.yaml", *arguments, "--json")
        return done.exit_code, done.report

    def show(self, image: str) -> dict[str, Any]:
        """Return the record of an image."""
        found: dict[str, Any] = json.loads(self.run("images", "show", image, "--json").stdout)
        return found

    def copies(self) -> list[Path]:
        """Return every file in the stores, hidden ones included."""
        return sorted(path for store in (self.one, self.two) if store.is_dir() for path in store.iterdir())

    def scratch(self) -> list[Path]:
        """Return what is in staging."""
        return sorted(self.staging.rglob("*")) if self.staging.exists() else []


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)
