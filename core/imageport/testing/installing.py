"""Distributions of plugins as pip would install them, in a folder on the module path."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

#: The group of entry points that has the plugins.
PLUGINS = "imageport.plugins"


class PluginFolder:
    """A folder into which distributions are put as pip would put them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def install(
        self,
        distribution: str,
        plugins: Mapping[str, str],
        modules: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        group: str = PLUGINS,
        contract: str | None = None,
    ) -> Path:
        """Write a distribution with its *modules* and entry points, and return its metadata folder.

        *plugins* have the places of the classes by the names of the plugins, as ``module:Class``; *modules* have the
        code of modules by their names. The distribution states the *contract* for which it is written, if there is one.
        Discovery finds the plugins at once; no pip runs.
        """
        metadata = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        )
        lines = [f"{name} = {value}\n" for name, value in plugins.items()]
        if contract is not None:
            lines.append(f"[imageport.contract]\n{contract} = acme\n")
        (metadata / "entry_points.txt").write_text(f"[{group}]\n" + "".join(lines))
        for name, source in (modules or {}).items():
            (self.folder / f"{name}.py").write_text(dedent(source))
        importlib.invalidate_caches()
        return metadata


@contextmanager
def plugin_folder(folder: Path) -> Iterator[PluginFolder]:
    """Yield *folder* at the beginning of ``sys.path``; afterwards it is not there, and its modules are forgotten."""
    made = PluginFolder(folder)
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield made
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
                del sys.modules[name]
