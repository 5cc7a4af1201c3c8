"""A small import, so that a process has imported the modules of commands; see ``imageport.testing.forked``."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import tempfile
from pathlib import Path

from imageport.plugins.registry import GROUP
from imageport.testing.pipelines import run_pipeline


def _import(folder: Path) -> None:
    (folder / "disk.raw").write_bytes(bytes(1 << 20))
    done = run_pipeline(folder, {}, folder / "disk.raw", "--disk-format", "raw")
    assert done.exit_code == 0, done.stderr
    # The handlers write to the standard error of that moment.
    logging.getLogger().handlers.clear()


for entry_point in importlib.metadata.entry_points(group=GROUP):
    with contextlib.suppress(Exception):
        entry_point.load()
with tempfile.TemporaryDirectory() as made:
    _import(Path(made))
