from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

#: The modules beside ``imageport`` that plugins import.
PUBLIC_MODULES = ("imageport.events",)

BUILTINS = Path(__file__).parents[2] / "builtin_plugins" / "imageport_builtin"


def imports(source: str) -> Iterator[str]:
    """Return what *source* imports of Imageport, as ``module`` or ``module.name``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{'.' * node.level}{node.module or ''}.{alias.name}" for alias in node.names)


def offences(source: str) -> list[str]:
    """Return the imports that a plugin of somebody else could not make."""
    public = {"imageport", *PUBLIC_MODULES}
    public |= {f"{module}.{name}" for module in public for name in import_module(module).__all__}
    return [
        name
        for name in imports(source)
        if (name.split(".")[0] == "imageport" and name not in public) or name[0] == "."
    ]


def test_built_in_plugins_have_no_privileges() -> None:
    sources = sorted(BUILTINS.rglob("*.py"))
    assert len(sources) > 10
    assert {path.name: found for path in sources if (found := offences(path.read_text()))} == {}


def test_an_offence_would_be_seen() -> None:
    source = """
from imageport.limits import ByteSize
import imageport.configuration.site
if True:
    from imageport import importing
"""
    assert offences(source) == [
        "imageport.limits.ByteSize",
        "imageport.configuration.site",
        "imageport.importing",
    ]
    assert offences("from imageport import Image\nimport os\nfrom imageport_builtin import qemu_img") == []
