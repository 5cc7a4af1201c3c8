"""Import a file through a pipeline on a site with one store, and look at what is left."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imageport.testing.command import Finished, RunImageport

UNPACK = "image_decompression"
RAW = {"use": "image_conversion", "with": {"output_format": "raw"}}


@dataclass(frozen=True)
class Bench:
    """The site of the fixture ``run_imageport``: the store ``default`` in ``images``, scratch data in ``staging``."""

    run: RunImageport

    @property
    def folder(self) -> Path:
        """The folder of the site."""
        return self.run.folder

    def imports(
        self, source: Path | bytes, *steps: str | dict[str, Any], arguments: tuple[str, ...] = ()
    ) -> Finished:
        """Import *source*, a file or its content, through *steps*."""
        if isinstance(source, bytes):
            path = self.folder / "source"
            path.write_bytes(source)
            source = path
        return self._run({"use": "glance-direct"}, source, steps, arguments)

    def downloads(
        self, url: str, *steps: str | dict[str, Any], arguments: tuple[str, ...] = (), **options: Any
    ) -> Finished:
        """Import what is at *url* through *steps*, with *options* of web-download."""
        return self._run({"use": "web-download", "with": options}, url, steps, arguments)

    def _run(
        self,
        method: dict[str, Any],
        source: Path | str,
        steps: Sequence[str | dict[str, Any]],
        arguments: tuple[str, ...],
    ) -> Finished:
        entries = [step if isinstance(step, dict) else {"use": step} for step in steps]
        pipeline = {"name": "p", "source": method, "steps": entries}
        (self.folder / "p.yaml").write_text(json.dumps(pipeline))
        return self.run.inside("run", "p.yaml", source, "--json", *arguments)

    def assert_stored(self, done: Finished, content: bytes) -> None:
        """The image is active, *content* is what is stored, and nothing else is left."""
        assert done.exit_code == 0, done.report["error"]
        [copy] = done.copies.values()
        assert copy.read_bytes() == content
        assert self._files("images") == [copy]
        assert self._files("staging") == []
        assert self.run.inside("images", "delete", done.report["image"]["id"], "--yes").exit_code == 0

    def assert_refused(self, done: Finished, exit_code: int, message: str, hint: str) -> None:
        """The import failed exactly so, and left nothing behind: no file, no active image."""
        error = done.report["error"]
        assert error is not None, "the import was a success"
        assert (done.exit_code, error["message"], error["hint"]) == (exit_code, message, hint)
        assert self._files("images") == []
        assert self._files("staging") == []
        images = self.run.inside("images", "list", "--json").json
        assert [image for image in images if image["status"] == "active"] == []

    def _files(self, folder: str) -> list[Path]:
        return [path for path in (self.folder / folder).rglob("*") if path.is_file()]
