"""The origin of a distribution is read from its metadata, whatever is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.plugin_folder import PluginFolder

from imageport.plugins.provenance import Provenance, provenance


def installed(folder: PluginFolder, *fields: str, origin: Any = None, record: bool = True) -> Provenance:
    """Return the origin of a distribution whose metadata has *fields*."""
    metadata = folder.install("acme-lab", {"lab": "acme_lab:Lab"}, version="2.1")
    with (metadata / "METADATA").open("a") as file:
        file.write("".join(f"{field}\n" for field in fields))
    if origin is not None:
        (metadata / "direct_url.json").write_text(origin if isinstance(origin, str) else json.dumps(origin))
    if record:
        (metadata / "RECORD").write_text("")
    return provenance("acme-lab 2.1")


def test_a_wheel_of_an_index(plugin_folder: PluginFolder) -> None:
    found = installed(plugin_folder, "License-Expression: MIT")
    assert found == Provenance("2.1", "wheel", None, str(plugin_folder.folder), "MIT")


def test_the_files_of_an_author(plugin_folder: PluginFolder, tmp_path: Path) -> None:
    origin = {"url": f"file://{tmp_path}/my%20lab", "dir_info": {"editable": True}}
    found = installed(plugin_folder, origin=origin)
    assert (found.kind, found.source) == ("editable", f"{tmp_path}/my lab")


def test_the_password_of_a_url_is_not_shown(plugin_folder: PluginFolder) -> None:
    origin = {"url": "https://ada:pa55word@example.org/lab.whl", "archive_info": {}}
    assert installed(plugin_folder, origin=origin).source == "https://example.org/lab.whl"


@pytest.mark.parametrize("origin", ["no json", "[]", '{"url": 7, "dir_info": []}', ""])
def test_an_origin_that_is_damaged_is_unknown(plugin_folder: PluginFolder, origin: str) -> None:
    found = installed(plugin_folder, origin=origin, record=False)
    assert (found.version, found.kind, found.source) == ("2.1", "unknown", None)


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        (["Classifier: License :: OSI Approved :: Apache Software License"], "Apache Software License"),
        (["License: BSD", "Classifier: Topic :: Utilities"], "BSD"),
        (["License-Expression: MIT", "License: BSD"], "MIT"),
        ([], None),
    ],
)
def test_the_licence_is_that_of_the_newest_field(
    plugin_folder: PluginFolder, fields: list[str], licence: str | None
) -> None:
    assert installed(plugin_folder, *fields).licence == licence


def test_what_is_not_installed_has_no_origin() -> None:
    assert provenance("acme-not-there 1.0") == Provenance()
