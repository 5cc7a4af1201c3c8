"""Copies of an SQLite catalog, made before its tables change."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path

from imageport.cleaning import logged

KEPT = 3


def back_up(path: Path, revision: str, now: datetime) -> Path:
    """Copy the catalog in the file *path*, whose tables have this *revision*, and return the copy.

    It is beside the file, complete and on the disk, for its owner alone. The last ``KEPT`` copies are kept. Raises
    ``OSError`` and ``sqlite3.Error``.
    """
    target = path.with_name(f"{path.name}.{revision}-{now:%Y%m%dT%H%M%S.%fZ}.backup")
    partial = target.with_suffix(".partial")
    try:
        os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        # A copy of the file alone would lack the content of the write-ahead log.
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(partial)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
        _sync(partial)
        partial.rename(target)
    finally:
        with logged(f"remove {partial}"):
            partial.unlink(missing_ok=True)
    _sync(path.parent)
    for old in sorted(backups(path), key=lambda copy: copy.name.rpartition("-")[2])[:-KEPT]:
        old.unlink(missing_ok=True)
    return target


def backups(path: Path) -> list[Path]:
    """Return the copies of the catalog in the file *path*."""
    name = re.compile(re.escape(path.name) + r"\.\w+-\d{8}T\d{6}\.\d{6}Z\.backup")
    return [found for found in path.parent.iterdir() if name.fullmatch(found.name)]


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
