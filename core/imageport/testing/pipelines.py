"""Whole imports in the process of the test."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from imageport.plugin import Plugin
from imageport.plugins.registry import InstalledPlugin, PluginRegistry
from imageport.testing.command import Finished, RunImageport, clean_environment

#: The site of a test: everything is in the folder of the test, and the network is this machine.
SITE: Mapping[str, Any] = {
    "catalog": "sqlite:///catalog.db",
    "staging": {"directory": "staging"},
    "network": {"allow_networks": ["127.0.0.0/8"]},
    "stores": [{"use": "file", "id": "default", "with": {"directory": "images"}}],
}


def run_pipeline(
    folder: Path,
    pipeline: Mapping[str, Any],
    *arguments: str | Path,
    plugins: Mapping[str, type[Plugin[Any]]] | None = None,
) -> Finished:
    """Run ``imageport run`` in *folder* with *pipeline*, as under the keys of a pipeline file, and return its report.

    *arguments* follow the file: the source, and options of the command. A *pipeline* may leave out its ``name``, its
    ``source``, which is then a local file, and its ``stores``, which are then those of the site. A site file is written
    unless *folder* has one. *plugins* are available under their names in addition to those that are installed.
    """
    site = folder / "imageport.yaml"
    if not site.exists():
        site.write_text(json.dumps(SITE))
    whole = {"name": "test", "source": {"use": "glance-direct"}, **pipeline}
    (folder / "pipeline.yaml").write_text(json.dumps(whole, default=str))
    home = folder / "home"
    home.mkdir(exist_ok=True)
    run = RunImageport(folder, clean_environment(home))
    with patch.object(PluginRegistry, "installed", _with(plugins or {})):
        return run.inside("run", "pipeline.yaml", *arguments, "--json")


def _with(plugins: Mapping[str, type[Plugin[Any]]]) -> Any:
    find = PluginRegistry.installed

    def installed(**options: Any) -> PluginRegistry:
        found = {plugin.name: plugin for plugin in find(**options)}
        for name, plugin in plugins.items():
            value = f"{plugin.__module__}:{plugin.__qualname__}"
            found[name] = InstalledPlugin(name, "the test", value)
        return PluginRegistry(found)

    return installed
