"""The real command, run as a user runs it, and its results."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

from imageport.testing.forked import DEADLINE, Forked
from imageport.testing.running import Finished, run_main, usual_garbage_collection

__all__ = ["IMAGEPORT", "Finished", "RunImageport", "sha512", "usual_garbage_collection"]

IMAGEPORT = Path(sys.executable).with_name("imageport")


def sha512(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha512").hexdigest()


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
        """Run the command in a separate process; see ``imageport.testing.forked``."""
        return Forked(arguments, self.folder, {**self.environment, **(environment or {})}).finish(stdin)

    def installed(self, *arguments: str | Path) -> Finished:
        """Run the script that pip has installed, in a new interpreter."""
        done = subprocess.run(
            [IMAGEPORT, *arguments], capture_output=True, check=False, cwd=self.folder,
            env=self.environment, stdin=subprocess.DEVNULL, timeout=DEADLINE,
        )  # fmt: skip
        return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())

    def inside(self, *arguments: str | Path) -> Finished:
        """Run the command in this process, which is faster than a new one."""
        out, err = io.StringIO(), io.StringIO()
        with (
            patch.dict(os.environ, self.environment, clear=True),
            usual_garbage_collection(),
            chdir(self.folder),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = run_main(arguments)
        return Finished(code, out.getvalue(), err.getvalue())
