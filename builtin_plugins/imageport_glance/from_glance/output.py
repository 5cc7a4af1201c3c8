"""Writing the files: all of them or none, and never over another one."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from imageport.errors import Conflict, UsageError

#: The method whose pipeline is shown when there is room for one.
_FIRST = ("web-download", "glance-direct", "glance-download", "copy-image")


def main_pipeline(files: Mapping[str, str]) -> str | None:
    """Return the name of the pipeline that shows most of a configuration, or None when there is none."""
    names = (f"pipelines/{method}.yaml" for method in _FIRST)
    return next((name for name in names if name in files), None)


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Write *files* below *folder*, which is made when missing.

    Raises ``Conflict`` when one of them is there already, and ``UsageError`` when the folder cannot be written. Then
    none of them is written.
    """
    written: list[Path] = []
    try:
        for name, text in files.items():
            target = folder / name
            _make_folder(target.parent, written)
            with target.open("x", encoding="utf-8") as file:
                written.append(target)
                file.write(text)
    except BaseException as error:
        for path in reversed(written):
            with suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        if isinstance(error, FileExistsError) and os.path.lexists(target):
            raise Conflict(
                f"{target} is already there, and nothing was written",
                hint="move it away, or name another folder with --output",
            ) from error
        if isinstance(error, OSError):
            raise UsageError(
                f"cannot write {target}: {error.strerror}",
                hint="name a folder that can be written with --output",
            ) from error
        raise


def _make_folder(folder: Path, made: list[Path]) -> None:
    if not folder.is_dir():
        _make_folder(folder.parent, made)
        folder.mkdir()
        made.append(folder)
