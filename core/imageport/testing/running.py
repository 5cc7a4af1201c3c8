"""The main function of the command, called in this process, and the output of a command."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.parse import unquote, urlsplit

from imageport.cli.app import run

#: Where this interpreter finds modules, but for the folder in which it was started.
MODULE_PATH = [entry for entry in sys.path if entry]


def run_main(arguments: Sequence[str | Path]) -> int:
    """Run the command in this process, with the environment and the standard files of this process."""
    with patch.object(sys, "argv", ["imageport", *map(str, arguments)]):
        try:
            return int(run())
        except SystemExit as end:
            return int(end.code or 0)


@contextmanager
def usual_garbage_collection() -> Iterator[None]:
    """Keep the command, which ends with its process, from stopping the collection of garbage in this one."""
    threshold = gc.get_threshold()
    with patch.object(gc, "freeze"):
        yield
    gc.set_threshold(*threshold)


@dataclass(frozen=True)
class Finished:
    """The output of a command, and its exit code."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """The output of a command with ``--json``."""
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
