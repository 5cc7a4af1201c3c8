"""Import one file through the real command in this process, and record what was stored."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from imageport.testing.command import RunImageport

_SITE = """\
catalog: sqlite:///catalog.db
staging: {directory: staging}
stores:
  - {use: file, id: default, with: {directory: images}}
limits: {image_size_cap: 1 GiB, conversion_deadline: 120}
"""
_PIPELINE = """\
name: corpus
source: {use: glance-direct}
steps:
  - use: image_decompression
  - {use: image_conversion, with: {output_format: raw}}
"""

#: Exit codes of an import that refuses the bytes it was given.
REFUSED = frozenset({1, 5})


@dataclass(frozen=True)
class Outcome:
    """What one import did.

    ``digest`` is the SHA-256 of the stored copy, None without one. ``code`` is the error code of the report, and
    ``message`` its text. ``left`` names files that a failed import has left behind.
    """

    exit_code: int
    digest: str | None
    code: str | None
    message: str
    left: tuple[str, ...]

    @property
    def refused(self) -> bool:
        """Whether the import failed in the way that unusable bytes have to."""
        return self.exit_code in REFUSED and self.digest is None and not self.left


class Importer:
    """Imports files into a separate site, one at a time."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="imageport-corpora-"))
        (self._folder / "imageport.yaml").write_text(_SITE)
        (self._folder / "p.yaml").write_text(_PIPELINE)
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._folder), "LC_ALL": "C.UTF-8"}
        self._run = RunImageport(self._folder, environment)

    def __enter__(self) -> Importer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._folder)

    def bring(self, path: Path) -> Outcome:
        """Import the file at *path* and remove the copy again."""
        done = self._run.inside("run", "p.yaml", path.absolute(), "--json")
        lines = done.stdout.splitlines()
        report = json.loads(lines[-1]) if lines else {}
        images, staging = self._folder / "images", self._folder / "staging"
        copies = [copy for copy in images.rglob("*") if copy.is_file()] if images.is_dir() else []
        digest = None
        if done.exit_code == 0:
            [copy] = copies
            with copy.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        left = [] if done.exit_code == 0 else copies
        if staging.is_dir():
            left += [file for file in staging.rglob("*") if file.is_file()]
        shutil.rmtree(images, ignore_errors=True)
        shutil.rmtree(staging, ignore_errors=True)
        error = report.get("error") or {}
        message = error.get("message") or done.stderr
        return Outcome(
            done.exit_code, digest, error.get("code"), message, tuple(str(file.name) for file in left)
        )
