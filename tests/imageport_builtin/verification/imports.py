"""Whole imports of what a publisher offers, into two stores, and what is left of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from imageport.testing.command import Finished, RunImageport
from imageport.testing.http_server import HttpServer, content

PIPELINE: Final = """\
name: verified
source: {{use: web-download, with: {{{source}}}}}
steps: [{steps}]
stores:
  - {{use: file, id: one, with: {{directory: one}}}}
  - {{use: file, id: two, with: {{directory: two}}}}
all_stores_must_succeed: {all_must}
staging: {staging}
{more}
"""
UNPACK: Final = "{use: image_decompression}"


@dataclass(frozen=True)
class Imports:
    """The real command in *folder*, with a publisher's server."""

    run: RunImageport
    server: HttpServer

    @property
    def folder(self) -> Path:
        return self.run.folder

    def publish(self, files: Mapping[str, bytes]) -> None:
        """Offer *files* by their names."""
        for name, body in files.items():
            self.server.answer(f"/{name}", content(body))

    def pipeline(
        self,
        *,
        source: str = "",
        steps: str = "",
        all_must: bool = True,
        staging: str = "auto",
        more: str = "",
    ) -> None:
        """Write the pipeline."""
        text = PIPELINE.format(
            source=source, steps=steps, all_must=str(all_must).lower(), staging=staging, more=more
        )
        (self.folder / "verified.yaml").write_text(text)

    def __call__(self, name: str, *options: str, code: int = 0) -> Any:
        """Import the published file called *name*, and return the report."""
        finished = self.command("run", "verified.yaml", self.server.url(f"/{name}"), "--json", *options)
        assert finished.exit_code == code, finished.stderr + finished.stdout
        return finished.report

    def command(self, *arguments: str) -> Finished:
        return self.run.inside(*arguments)

    def refused(self, name: str, code: int = 5, **wanted: str) -> Any:
        """Import a file that must not get in: nothing is published, and nothing is left."""
        report = self(name, code=code)
        assert report["status"] == "failure"
        assert report["rolled_back"] is True
        assert report["error"]["hint"]
        assert {store["status"] for store in report["stores"].values()} <= {"discarded", "failed", "skipped"}
        assert self.stored() == []
        assert [path for path in (self.folder / "staging").rglob("*") if path.is_file()] == []
        assert [image["status"] for image in self.command("images", "list", "--json").json] == ["queued"]
        assert report["image"]["locations"] == []
        for field, value in wanted.items():
            assert value in report["error"][field]
        return report

    def stored(self) -> list[bytes]:
        """Return what is in the stores."""
        paths = [path for store in ("one", "two") for path in (self.folder / store).rglob("*")]
        return [path.read_bytes() for path in paths if path.is_file()]
