"""The real command, run as a user runs it, and what came of it."""

from __future__ import annotations

import functools
import gc
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

import typer.main

from imageport.cli.app import main

IMAGEPORT = Path(sys.executable).with_name("imageport")

#: Building the commands takes as long as running one, and a process does it once.
_BUILT_ONCE = functools.cache(typer.main.get_command)


def sha512(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()


@contextmanager
def usual_garbage_collection() -> Iterator[None]:
    """Keep the command, which ends with its process, from stopping the collection of garbage in this one."""
    threshold = gc.get_threshold()
    with patch.object(gc, "freeze"):
        yield
    gc.set_threshold(*threshold)


@dataclass(frozen=True)
class Finished:
    """What a command printed, and its exit code."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """What a command with ``--json`` printed."""
        return json.loads(self.stdout)

    @property
    def events(self) -> list[dict[str, Any]]:
        """The lines of ``run --json`` but for the last."""
        return [json.loads(line) for line in self.stdout.splitlines()[:-1]]

    @property
    def report(self) -> dict[str, Any]:
        """The last line of ``run --json``."""
        found: dict[str, Any] = json.loads(self.stdout.splitlines()[-1])
        assert found["type"] == "report"
        return found

    @property
    def copies(self) -> dict[str, Path]:
        """The published copies in file stores, by store."""
        return {
            store: Path(unquote(urlsplit(copy["location"]).path))
            for store, copy in self.report["stores"].items()
            if copy["status"] == "published"
        }


def clean_environment(home: Path) -> dict[str, str]:
    """Return the environment without the settings of the user, and with *home*."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith(("IMAGEPORT_", "XDG_"))}
    own = {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "LC_ALL": "C.UTF-8", "COLUMNS": "120"}
    return kept | own


@dataclass(frozen=True)
class RunImageport:
    """Runs the real command in *folder*, with nothing of the user who runs the tests."""

    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def __call__(
        self, *arguments: str | Path, stdin: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> Finished:
        result = subprocess.run(
            [IMAGEPORT, *arguments],
            input=stdin,
            capture_output=True,
            check=False,
            cwd=self.folder,
            env={**self.environment, **(environment or {})},
            timeout=120,
        )
        return Finished(result.returncode, result.stdout.decode(), result.stderr.decode())

    def inside(self, *arguments: str | Path) -> Finished:
        """Run the command in this process, which is faster than a new one."""
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, self.environment, clear=True),
            patch.object(sys, "argv", ["imageport", *map(str, arguments)]),
            patch.object(typer.main, "get_command", _BUILT_ONCE),
            usual_garbage_collection(),
            chdir(self.folder),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                code = int(main())
            except SystemExit as end:
                code = int(end.code or 0)
        return Finished(code, out.getvalue(), err.getvalue())
