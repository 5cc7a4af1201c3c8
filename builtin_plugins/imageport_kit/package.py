"""A new package, written from templates into a folder that appears as a whole."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from string import Template
from types import ModuleType
from typing import Any

from imageport import CONTRACT, Plugin, UsageError
from imageport.app import options_of
from imageport_kit.names import PackageNames
from imageport_kit.variants import Variant

_TEMPLATES = files("imageport_kit") / "templates"

#: The files of every package, with their templates.
_FILES = {
    "pyproject.toml": "package/pyproject.toml.in",
    "CHANGELOG.md": "package/CHANGELOG.md.in",
    ".gitignore": "package/gitignore.in",
    ".github/workflows/test.yml": "package/test.yml.in",
}


#: Settings by which type checkers refuse a hook without its mark; fixtures of tests override others without one.
_MYPY = """enable_error_code = ["explicit-override"]

[[tool.mypy.overrides]]
module = "tests.*"
disable_error_code = ["explicit-override"]
"""
_PYRIGHT = 'reportImplicitOverride = "error"\n'


def write_package(names: PackageNames, variant: Variant, folder: Path) -> list[str]:
    """Write the package into the new folder *folder*, and return the names of its files.

    Raises ``UsageError`` when *folder* is there, or cannot be made; then nothing is left.
    """
    if os.path.lexists(folder):
        raise UsageError(f"{folder} is there already", hint="choose another name or another --folder")
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            _write(names, variant, partial)
            partial.chmod(0o755)
            partial.rename(folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be made: {error.strerror}", hint="give a --folder in one that can be written"
        ) from error
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _write(names: PackageNames, variant: Variant, folder: Path) -> None:
    values = _values(names, variant)
    for name, template in _files(names, variant):
        _put(folder / name, _rendered(template, values))
    _put(folder / f"src/{names.module}/__init__.py", f'"""{variant.summary}"""\n')
    _put(folder / f"src/{names.module}/py.typed", "")
    if variant.options:
        _put(
            folder / "tests/options.yaml",
            "".join(f"{key}: {text}\n" for key, text in variant.options.items()),
        )
    table = "The command has its options in `--help`."
    if not variant.is_command:
        plugin_class = _class(folder / f"src/{names.module}/plugin.py", names)
        table = _table(options_of(plugin_class))
    _put(folder / "README.md", _rendered("package/README.md.in", {**values, "options": table}))


def _files(names: PackageNames, variant: Variant) -> Iterator[tuple[str, str]]:
    yield from _FILES.items()
    module = "command" if variant.is_command else "plugin"
    yield f"src/{names.module}/{module}.py", f"modules/{variant.module}.py.in"
    yield "tests/test_conformance.py", f"tests/{variant.tests}.py.in"


def _values(names: PackageNames, variant: Variant) -> dict[str, str]:
    metadata = importlib.metadata.metadata("imageport")
    requirement = f"imageport{_range(metadata['Version'])}"
    needed = [requirement, _requirement("typer" if variant.is_command else "pydantic")]
    certify_options = " --options tests/options.yaml" if variant.options else ""
    return {
        "distribution": names.distribution,
        "module": names.module,
        "class_name": names.class_name,
        "plugin": names.plugin,
        "function": names.module,
        "kind": variant.kind,
        "summary": variant.summary,
        "group": "commands" if variant.is_command else "plugins",
        "object": f"command:{names.module}" if variant.is_command else f"plugin:{names.class_name}",
        "contract": ".".join(map(str, CONTRACT)),
        "requirement": requirement,
        "dependencies": ", ".join(map(json.dumps, needed)),
        "python": metadata["Requires-Python"],
        "certify_options": certify_options,
        "mypy": _MYPY if variant.marks_all else "",
        "pyright": _PYRIGHT if variant.marks_all else "",
        "use": _use(names, variant),
    }


def _range(version: str) -> str:
    """Return the versions of Imageport that have what this one has, by the rules of semantic versioning."""
    major, minor = map(int, version.split(".")[:2])
    return f">={major}.{minor},<{major + 1 if major else f'0.{minor + 1}'}"


def _requirement(name: str) -> str:
    """Return the requirement of Imageport on the distribution *name*: a package that imports it has the same."""
    for text in importlib.metadata.requires("imageport") or ():
        if re.match(rf"{re.escape(name)}\b(?!-)", text):
            return text.partition(";")[0].strip()
    return name


def _use(names: PackageNames, variant: Variant) -> str:
    if variant.is_command:
        return f"```console\n$ imageport {names.plugin} --help\n```"
    options = "".join(f"\n    {key}: ./{text}" for key, text in variant.options.items())
    entry = f"use: {names.plugin}" + (f"\n  with:{options}" if options else "")
    item = (
        f"  {entry}".replace("\n  ", "\n    ")
        if variant.section == "source"
        else f"  - {entry}".replace("\n", "\n  ")
    )
    return f"```yaml\n{variant.section}:\n{item}\n```"


def _class(path: Path, names: PackageNames) -> type[Plugin[Any]]:
    """Run the rendered module, for the options of its plugin."""
    module = ModuleType(names.module)
    exec(compile(path.read_bytes(), path, "exec", dont_inherit=True), vars(module))  # noqa: S102 - from a template
    found: type[Plugin[Any]] = getattr(module, names.class_name)
    return found


def _table(options: list[dict[str, Any]]) -> str:
    rows = ["| option | type | default | description |", "|---|---|---|---|"]
    for option in options:
        default = "(required)" if option["required"] else f"`{json.dumps(option['default'])}`"
        kind = option["type"].replace("|", "\\|")
        rows.append(f"| `{option['name']}` | {kind} | {default} | {option['description']} |")
    return "\n".join(rows)


def _rendered(template: str, values: Mapping[str, str]) -> str:
    return Template(_TEMPLATES.joinpath(template).read_text()).substitute(values)


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
