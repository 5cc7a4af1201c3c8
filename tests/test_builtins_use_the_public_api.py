from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.public_names import PUBLIC

import imageport

REPOSITORY = Path(__file__).parents[1]


def imports(source: str) -> Iterator[str]:
    """Return what *source* imports of Imageport, as ``module`` or ``module.name``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def offences(source: str) -> list[str]:
    """Return the imports of *source* that are not public."""
    public = {*imageport.PUBLIC_MODULES, *PUBLIC}
    return [
        name
        for name in imports(source)
        if (name.split(".")[0] == "imageport" and name not in public) or name[0] == "."
    ]


@pytest.mark.parametrize(
    "folder",
    [
        "builtin_plugins",
        *(f"contrib/{path.name}/src" for path in (REPOSITORY / "contrib").glob("imageport-*")),
    ],
)
def test_plugins_import_public_names_only(folder: str) -> None:
    sources = sorted((REPOSITORY / folder).rglob("*.py"))
    assert len(sources) > 2
    assert {path.name: found for path in sources if (found := offences(path.read_text()))} == {}


def test_an_import_of_a_private_name_is_found() -> None:
    source = """
from imageport.limits import parse_size
import imageport.configuration.site
if True:
    from imageport import importing
"""
    assert offences(source) == [
        "imageport.limits.parse_size",
        "imageport.configuration.site",
        "imageport.importing",
    ]
    allowed = """
import os
from imageport import Image
from imageport.limits import ByteSize
from imageport_builtin import qemu_img
"""
    assert offences(allowed) == []
