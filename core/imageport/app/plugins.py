"""List and examine the installed plugins without importing one into this process."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

from imageport.app.diagnosis import Diagnosis
from imageport.app.resources import Resources
from imageport.configuration.folders import cache_file
from imageport.plugin import Plugin
from imageport.plugins.descriptions import Description, describe
from imageport.plugins.provenance import provenance
from imageport.plugins.registry import InstalledPlugin
from imageport.plugins.roles import roles_of


def list_plugins(resources: Resources) -> list[dict[str, Any]]:
    """Return a summary of each plugin as plain values, sorted by name."""
    registry, site = resources.registry, resources.site
    plugins = list(registry)
    described = describe(plugins, cache_file("plugins.json", os.environ))
    origin = cache(provenance)
    found = [
        {**_summary(plugin, described[plugin.name]), **origin(plugin.distribution).as_dict()}
        for plugin in plugins
    ]
    for row in found:
        if row["status"] == "ok" and "stage" in row["hooks"] and not site.allows_method(row["name"]):
            row["status"] = "not enabled"
    found += [_disabled(name) for name in registry.disabled]
    return sorted(found, key=lambda row: str(row["name"]))


def examine_plugins(resources: Resources, names: Sequence[str]) -> Iterator[Diagnosis]:
    """Yield a finding about each of the plugins called *names*, or of all: import, hooks, name, contract, programs.

    Each is imported in a process that is killed when the import does not end. Raises ``UsageError`` for a name that no
    plugin has.
    """
    registry = resources.registry
    for name in names:
        if name not in registry.names():
            registry.find(name)
    plugins = [plugin for plugin in registry if not names or plugin.name in names]

    def examine(plugin: InstalledPlugin) -> Diagnosis:
        return _examined(plugin, describe([plugin], None)[plugin.name])

    # Each in a separate process: a plugin may change what the others see.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(examine, plugins)


def _examined(plugin: InstalledPlugin, description: Description) -> Diagnosis:
    subject = f"plugin {plugin.name}"
    supplier = plugin.distribution.partition(" ")[0]
    if plugin.conflicts:
        return Diagnosis(subject, "error", description.summary, "uninstall all but one of them")
    if description.broken:
        return Diagnosis(subject, "error", description.summary, f"update or uninstall {supplier}")
    missing = [program for program in description.binaries if shutil.which(program) is None]
    if missing:
        listed = ", ".join(missing)
        hint = f"install it; 'imageport plugins show {plugin.name}' names its package"
        return Diagnosis(subject, "error", f"needs a program that is not on the PATH: {listed}", hint)
    state = f"{plugin.distribution}: {', '.join(description.hooks) or 'without hooks'}"
    if not description.summary or not description.hooks:
        lacking = "a hook" if description.summary else "a docstring"
        return Diagnosis(
            subject, "warning", f"{plugin.distribution} lacks {lacking}", f"report it to {supplier}"
        )
    if description.stability == "deprecated":
        return Diagnosis(subject, "warning", f"{state} (deprecated)", "replace it in the pipelines")
    return Diagnosis(subject, "ok", state)


def options_of(plugin_class: type[Plugin[Any]]) -> list[dict[str, Any]]:
    """Return name, type in words, default and description of each option of a plugin, as plain values."""
    from imageport.plugins.about import options_of as options_of_model

    return options_of_model(plugin_class.config_model)


def _summary(plugin: InstalledPlugin, description: Description) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "status": "conflict" if plugin.conflicts else "broken" if description.broken else "ok",
        "roles": roles_of(frozenset(description.hooks)),
        "hooks": list(description.hooks),
        "stability": None if description.broken else description.stability,
        "contract": list(plugin.contracts),
        "summary": description.summary,
    }


def _disabled(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "distribution": None,
        "status": "disabled",
        "roles": [],
        "hooks": [],
        "stability": None,
        "contract": [],
        "summary": "left out by the site file or IMAGEPORT_DISABLED_PLUGINS",
    }
