"""The origin of installed distributions, as their metadata has it. None of their code is imported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_FIELDS = ("License-Expression", "Classifier", "License")

_CLASSIFIER = "License :: "


@dataclass(frozen=True, slots=True)
class Provenance:
    """The origin of a distribution.

    ``kind`` is ``editable`` (the files of an author), ``wheel`` for everything that an installer has unpacked, and
    ``unknown`` for metadata without a record of it. ``source`` is the url or folder that it was installed from, None
    for a package index (``direct_url.json``, PEP 610). ``folder`` is where it is on the module path. ``licence`` is the
    expression of its metadata (PEP 639), or the older field or classifier.
    """

    version: str | None = None
    kind: str = "unknown"
    source: str | None = None
    folder: str | None = None
    licence: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain values."""
        return {
            "version": self.version,
            "installed": self.kind,
            "source": self.source,
            "folder": self.folder,
            "licence": self.licence,
        }


def provenance(supplier: str) -> Provenance:
    """Return the origin of *supplier*, the name of a distribution with or without its version."""
    try:
        found = distribution(supplier.partition(" ")[0])
        return _provenance(found)
    except (PackageNotFoundError, ValueError, OSError):
        return Provenance()


def _provenance(found: Distribution) -> Provenance:
    origin = _object(found.read_text("direct_url.json"))
    is_editable = bool(_object(origin.get("dir_info")).get("editable"))
    kind = "editable" if is_editable else "wheel" if found.read_text("RECORD") is not None else "unknown"
    return Provenance(
        found.version,
        kind,
        _place(origin.get("url")),
        str(Path(str(found.locate_file(""))).resolve()),
        _licence(found),
    )


def _object(value: Any) -> dict[str, Any]:
    """Return *value*, or the JSON in it, if it is an object, else nothing."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    return value if isinstance(value, dict) else {}


def _place(url: Any) -> str | None:
    """Return a ``file:`` url as a path, and others without user and password."""
    if not isinstance(url, str):
        return None
    parts = urlsplit(url)
    if parts.scheme == "file":
        return unquote(parts.path)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _licence(found: Distribution) -> str | None:
    fields = {name: [*map(str, found.metadata.get_all(name) or ())] for name in _FIELDS}
    classifiers = [
        text.rpartition(" :: ")[2] for text in fields["Classifier"] if text.startswith(_CLASSIFIER)
    ]
    # Some packages have the whole text of the licence in the old field.
    old = [text.partition("\n")[0][:80] for text in fields["License"]]
    return next(iter([*fields["License-Expression"], *classifiers, *old]), "") or None
