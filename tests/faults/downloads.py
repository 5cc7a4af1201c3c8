"""Whole imports from the faulty server, and what they leave."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imageport.testing.command import Finished, RunImageport
from imageport.testing.http_server import HttpServer

#: Patience of servers that are to be given up soon, and of those that may take their time.
HASTY: Mapping[str, Any] = {"connect_timeout": 1, "read_timeout": 0.4, "download_deadline": 20}


@dataclass
class Downloads:
    """A site with one store, and the server that images are fetched from."""

    run: RunImageport
    server: HttpServer
    limits: dict[str, Any] = field(default_factory=lambda: dict(HASTY))
    network: dict[str, Any] = field(default_factory=lambda: {"allow_networks": ["127.0.0.0/8"]})

    @property
    def folder(self) -> Path:
        """The working folder of the command."""
        return self.run.folder

    def write(self, *, staging: str = "auto", steps: tuple[Any, ...] = (), **options: Any) -> None:
        """Write the site file, and a pipeline that downloads with *options*."""
        site = {
            "catalog": "sqlite:///catalog.db",
            "staging": {"directory": "staging"},
            "network": self.network,
            "limits": self.limits,
            "stores": [{"use": "file", "id": "default", "with": {"directory": "images"}}],
        }
        pipeline = {
            "name": "download",
            "source": {"use": "web-download", "with": options},
            "steps": list(steps),
            "staging": staging,
        }
        (self.folder / "imageport.yaml").write_text(json.dumps(site))
        (self.folder / "download.yaml").write_text(json.dumps(pipeline))

    def importing(self, url: str, *arguments: str, **options: Any) -> Finished:
        """Import *url*, with the pipeline of ``write``, in this process."""
        self.write(**options)
        return self.run.inside("run", "download.yaml", url, "--disk-format", "raw", "--json", *arguments)

    def require_imported(self, done: Finished, expected: bytes) -> dict[str, Any]:
        """Return the report of an import whose copy is *expected*, and which left nothing else."""
        assert done.exit_code == 0, done.report["error"]
        (copy,) = done.copies.values()
        assert hashlib.sha256(copy.read_bytes()).digest() == hashlib.sha256(expected).digest()
        assert done.report["image"]["os_hash_value"] == hashlib.sha512(expected).hexdigest()
        assert done.report["image"]["size"] == len(expected)
        assert self.files("images") == [copy.name]
        assert self.files("staging") == []
        return done.report

    def require_failed(self, done: Finished, code: int) -> dict[str, Any]:
        """Return the error of an import that ended with the exit *code* and left nothing."""
        assert done.exit_code == code, done.stdout
        assert self.files("images") == self.files("staging") == []
        assert done.report["rolled_back"]
        assert done.report["image"]["status"] == "queued"
        error: dict[str, Any] = done.report["error"]
        assert error["hint"]
        return error

    def files(self, folder: str) -> list[str]:
        """Return the names of what is in *folder*."""
        path = self.folder / folder
        return sorted(str(file.relative_to(path)) for file in path.rglob("*")) if path.is_dir() else []
