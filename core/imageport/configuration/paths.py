"""Which folder a relative path belongs to, and where Imageport keeps its own files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo


def data_home(environ: Mapping[str, str]) -> Path:
    """Return the folder for catalog, staging and default store (XDG Base Directory Specification)."""
    return _base_directory(environ, "XDG_DATA_HOME", ".local/share") / "imageport"


def config_home(environ: Mapping[str, str]) -> Path:
    """Return the folder for the user's own site file (XDG Base Directory Specification)."""
    return _base_directory(environ, "XDG_CONFIG_HOME", ".config") / "imageport"


def anchored(options: Any, model: type[BaseModel], folder: Path) -> Any:
    """Return *options* of *model* with the paths among them made absolute: in the home for ``~``, else in *folder*.

    This comes before the model, whose validators may look for the paths. What is no mapping stays for the model to
    refuse. Raises ``ValueError`` when a home folder is not known.
    """
    if not isinstance(options, dict):
        return options
    given = {
        name: options.get(name, field.default)
        for name, field in model.model_fields.items()
        if _is_path(field)
    }
    try:
        paths = {
            name: str(folder / Path(path).expanduser())
            for name, path in given.items()
            if isinstance(path, (str, Path))
        }
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    return {**options, **paths}


def _is_path(field: FieldInfo) -> bool:
    return Path in (field.annotation, *get_args(field.annotation))


def _base_directory(environ: Mapping[str, str], variable: str, below_home: str) -> Path:
    # The specification says to ignore relative paths.
    if (given := environ.get(variable, "")).startswith("/"):
        return Path(given)
    home = environ.get("HOME")
    return (Path(home) if home else Path.home()) / below_home
