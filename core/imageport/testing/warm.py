"""A small import, so that a process has imported what commands need; see ``imageport.testing.forked``."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from pathlib import Path

from imageport.testing.command import RunImageport

#: Where this interpreter finds modules, but for the folder in which it was started.
PATH = [entry for entry in sys.path if entry]

SITE = "stores: [{use: file, id: default, with: {directory: images}}]"
PIPELINE = """\
name: warm
source: {use: glance-direct}
steps: [{use: image_decompression}, {use: image_conversion}]
"""


def _import(folder: Path) -> None:
    (folder / "imageport.yaml").write_text(SITE)
    (folder / "warm.yaml").write_text(PIPELINE)
    (folder / "disk.raw").write_bytes(bytes(1 << 20))
    own = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
    run = RunImageport(folder, {**os.environ, **own})
    done = run.inside("run", "warm.yaml", "disk.raw", "--disk-format", "raw", "--json")
    assert done.exit_code == 0, done.stderr
    # The handlers write to what was standard error then.
    logging.getLogger().handlers.clear()


with tempfile.TemporaryDirectory() as made:
    _import(Path(made))
