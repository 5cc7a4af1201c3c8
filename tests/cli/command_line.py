"""The real command in a separate folder."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.noise import noise

from imageport.testing.command import RunImageport
from imageport.testing.forked import Forked

PIPELINE = """
name: two-stores
source: {use: glance-direct}
steps:
  - use: inject_image_metadata
    with: {inject: {os_distro: debian}}
stores:
  - {use: file, id: one, with: {directory: one}}
  - {use: file, id: two, with: {directory: two}}
"""


@dataclass
class Result:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass
class CommandLine:
    """The real command, run in a separate home and working folder."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "p.yaml").write_text(PIPELINE)
        self.image = self.folder / "disk.raw"
        self.image.write_bytes(noise(1 << 20) + bytes(2 << 20))

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-W", "error", "-m", "imageport", *map(str, arguments)]

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: os.environ[name]
            for name in ("PATH", "LANG", "COVERAGE_PROCESS_START")
            if name in os.environ
        }
        return {**kept, "HOME": str(self.folder), "LOGNAME": "tester", **self.environ}

    def __call__(self, *arguments: str | Path, data: bytes | None = None, code: int = 0) -> Result:
        """Run the command; its exit code has to be *code*."""
        done = Forked(arguments, self.folder, self.environment, strict=True).finish(data or b"")
        result = Result(done.exit_code, done.stdout, done.stderr)
        assert result.code == code, result.err + result.out
        return result

    def inside(self, *arguments: str | Path, code: int = 0) -> Result:
        """Run the command in this process, where a separate process would only take time."""
        result = self.any_end(*arguments)
        assert result.code == code, result.err + result.out
        return result

    def any_end(self, *arguments: str | Path) -> Result:
        """Run the command in this process, whatever its exit code is."""
        done = RunImageport(self.folder, self.environment).inside(*arguments)
        return Result(done.exit_code, done.stdout, done.stderr)

    def imported(self, *arguments: str) -> str:
        """Import the image and return its id."""
        report = self.inside("run", "p.yaml", self.image, "--json", *arguments).lines[-1]
        return str(report["image"]["id"])

    def files(self, folder: str) -> Sequence[str]:
        """Return the names in a folder."""
        path = self.folder / folder
        return sorted(file.name for file in path.iterdir()) if path.is_dir() else []
