"""Which folder a relative path belongs to, and where Imageport keeps its own files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

ModelT = TypeVar("ModelT", bound=BaseModel)


def data_home(environ: Mapping[str, str]) -> Path:
    """Return the folder for catalog, staging and default store (XDG Base Directory Specification)."""
    return _base_directory(environ, "XDG_DATA_HOME", ".local/share") / "imageport"


def config_home(environ: Mapping[str, str]) -> Path:
    """Return the folder for the user's own site file (XDG Base Directory Specification)."""
    return _base_directory(environ, "XDG_CONFIG_HOME", ".config") / "imageport"


def anchored(model: ModelT, folder: Path) -> ModelT:
    """Return *model* with the paths among its fields made absolute: in the home for ``~``, else in *folder*.

    Raises ``ValueError`` when a home folder is not known.
    """
    try:
        paths = {
            name: folder / value.expanduser()
            for name in type(model).model_fields
            if isinstance(value := getattr(model, name), Path)
        }
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    return model.model_copy(update=paths) if paths else model


def _base_directory(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    # The specification says to ignore relative paths.
    if (given := environ.get(variable, "")).startswith("/"):
        return Path(given)
    home = environ.get("HOME")
    return (Path(home) if home else Path.home()) / below_home
