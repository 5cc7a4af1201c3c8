"""Resolve the relative paths in options."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel
from pydantic.fields import FieldInfo

_URL = re.compile(r"[a-z][a-z0-9+.-]*:/", re.IGNORECASE)


def path_of(text: str) -> str:
    """Return the path that *text* names: a path, or a ``file:`` url of this machine (RFC 8089).

    Raises ``ValueError`` for other urls.
    """
    if not _URL.match(text):
        return text
    url = urlsplit(text)
    if url.scheme != "file" or url.query or url.fragment:
        raise ValueError(
            f"'{text}' is not a folder on this machine: write a path, or file:// and an absolute path"
        )
    if url.netloc not in ("", "localhost") or not url.path.startswith("/"):
        raise ValueError(
            f"'{text}' has no absolute path: write three slashes, as in file:///var/lib/imageport"
        )
    return unquote(url.path)


def resolve_paths(options: Any, model: type[BaseModel], folder: Path) -> Any:
    """Return *options* of *model* with the paths among them made absolute: in the home for ``~``, else in *folder*.

    This comes before the model, whose validators may look for the paths. Other values than mappings are left for the
    model to refuse, and so does a url where an option may be a ``str`` as well as a ``Path``. Raises ``ValueError``
    when a home folder is not known.
    """
    if not isinstance(options, dict):
        return options
    given = {
        name: options.get(name, field.default)
        for name, field in model.model_fields.items()
        if _is_path(field)
    }
    paths = {
        name: str(folder / expanded(path))
        for name, path in given.items()
        if isinstance(path, Path) or (isinstance(path, str) and not _is_url(path, model.model_fields[name]))
    }
    return {**options, **paths}


def expanded(path: str | Path, *, shown: str | None = None) -> Path:
    """Return *path* with the home folder for ``~`` or ``~user``.

    Raises ``ValueError`` when that is not known, with *shown* in the place of *path* if it is part of another text.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"'{shown or path}': the home folder is not known; write an absolute path"
        ) from error


def _is_url(text: str, field: FieldInfo) -> bool:
    return str in get_args(field.annotation) and _URL.match(text) is not None


def _is_path(field: FieldInfo) -> bool:
    return Path in (field.annotation, *get_args(field.annotation))
