"""The core names no built-in plugin, no package of one, and no program that plugins run.

Comments, docstrings and messages count too.
"""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from pathlib import Path

CORE = Path(__file__).parents[1] / "core" / "imageport"
BUILT_IN = sorted(path.name for path in (CORE.parents[1] / "builtin_plugins").iterdir() if path.is_dir())

#: Programs and libraries that built-in plugins run.
PROGRAMS = (
    "qemu-img",
    "qemu-nbd",
    "prlimit",
    "setpriv",
    "py7zr",
    "lhafile",
    "isal",
    "pysequoia",
    "zstandard",
)

PLUGINS = {
    found.name for found in entry_points(group="imageport.plugins") if found.module.split(".")[0] in BUILT_IN
}
#: Names of plugins that are words of English: the core may use the word, not the plugin.
WORDS = {"checksum", "file", "http", "log", "notifications", "terminal"}

NAME = re.compile(rf"(?<![\w-])({'|'.join(sorted({*BUILT_IN, *PROGRAMS, *(PLUGINS - WORDS)}))})(?![\w-])")
USE = re.compile(rf"""["']?use["']?: *["']?({"|".join(sorted(PLUGINS))})\b""")

#: Files that name some all the same, and the reason.
EXCEPTIONS = {
    "configuration/defaults.py": "a site without configuration uses some plugin; all defaults are in this file",
    "testing/pipelines.py": "the site of a test has a store, and its pipeline a method",
    "dataplane/file_types/": "hints name the program that converts a format before the import; the core runs none",
    "dataplane/inspection/": "hints name the program that repairs or converts an image before the import",
}


def names_in(text: str) -> list[str]:
    """Return the names of plugins and programs in *text*."""
    return sorted({*NAME.findall(text), *USE.findall(text)})


def test_the_core_names_no_plugin() -> None:
    named = {str(path.relative_to(CORE)): names_in(path.read_text()) for path in CORE.rglob("*.py")}
    assert {
        path: names for path, names in named.items() if names and not path.startswith(tuple(EXCEPTIONS))
    } == {}


def test_every_exception_is_needed() -> None:
    for prefix in EXCEPTIONS:
        files = [path for path in CORE.rglob("*.py") if str(path.relative_to(CORE)).startswith(prefix)]
        assert any(names_in(path.read_text()) or path.name == "defaults.py" for path in files), prefix


def test_a_name_is_found_in_code_and_in_a_docstring() -> None:
    assert len(PLUGINS) > 10
    assert names_in('"""Runs qemu-img."""\nstore = {"use": "file"}') == ["file", "qemu-img"]
    assert names_in("from imageport_builtin import qemu_img") == ["imageport_builtin"]
    assert names_in("the file of a checksum, imageport_builtins, qemu-img-extra, image_conversions") == []
