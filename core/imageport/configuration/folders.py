"""The folders of a user for files of Imageport itself (XDG Base Directory Specification)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from imageport.errors import UsageError


def data_home(environ: Mapping[str, str]) -> Path:
    """Return the folder for catalog, staging and default store.

    Raises ``UsageError`` when the user has no home folder.
    """
    return _base_directory(environ, "XDG_DATA_HOME", ".local/share") / "imageport"


def config_home(environ: Mapping[str, str]) -> Path:
    """Return the folder for the user's own site file.

    Raises ``UsageError`` when the user has no home folder.
    """
    return _base_directory(environ, "XDG_CONFIG_HOME", ".config") / "imageport"


def cache_file(name: str, environ: Mapping[str, str]) -> Path | None:
    """Return the file called *name* in the folder for disposable files; None when the user has no home folder."""
    try:
        return _base_directory(environ, "XDG_CACHE_HOME", ".cache") / "imageport" / name
    except UsageError:
        return None


def _base_directory(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    # The specification requires to ignore relative paths.
    if (given := environ.get(variable, "")).startswith("/"):
        return Path(given)
    try:
        home = Path(environ.get("HOME") or Path.home())
    except RuntimeError as error:
        raise UsageError(
            f"HOME is not set, and user {os.getuid()} has no home folder in /etc/passwd",
            hint="set HOME, or name a site file with --config that has catalog, staging.directory and stores",
        ) from error
    return home / below_home
