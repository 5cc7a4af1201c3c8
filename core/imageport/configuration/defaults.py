"""Defaults of a site without configuration: folders of the user, and the plugins that are used."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from imageport.configuration.folders import data_home

#: Store of a site without stores; its option ``directory`` is a folder of the user.
STORE: Final = "file"

#: Observers of ``imageport run``, on a terminal and elsewhere.
TERMINAL_OBSERVER: Final = "terminal"
OBSERVER: Final = "log"

#: Import method for staged data: ``enabled_methods`` decides by it whether data may be staged.
STAGED_DATA_METHOD: Final = "glance-direct"

#: Step that converts disk images, and the formats that it makes, the usual ones first.
CONVERSION_STEP: Final = "image_conversion"
CONVERSION_FORMATS: Final = ("raw", "qcow2", "vmdk", "vhdx", "vhd", "vdi")


def conversion_to(formats: Collection[str]) -> str | None:
    """Return the entry of a step that makes an image of one of *formats*, None when there is no such step."""
    wanted = next((name for name in CONVERSION_FORMATS if name in formats), None)
    return wanted and f"{{use: {CONVERSION_STEP}, with: {{output_format: {wanted}}}}}"


def default_catalog(environ: Mapping[str, str]) -> str:
    """Return the url of the catalog of a user."""
    return f"sqlite:///{url_path(data_home(environ) / 'catalog.db')}"


def url_path(path: Path) -> str:
    """Return *path* as the url of an SQLite file has it: ``?`` and ``%`` mean something there."""
    return str(path).replace("%", "%25").replace("?", "%3F")


def default_staging(environ: Mapping[str, str]) -> Path:
    """Return the staging folder of a user."""
    return data_home(environ) / "staging"


def default_store_entry(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the entry of the store of a user."""
    return {"use": STORE, "id": "default", "with": {"directory": str(data_home(environ) / "images")}}
