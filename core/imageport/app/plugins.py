"""List the installed plugins without importing one."""

from __future__ import annotations

import os
from typing import Any

from imageport.app.resources import Resources
from imageport.configuration.folders import cache_file
from imageport.plugins.descriptions import Description, describe
from imageport.plugins.registry import InstalledPlugin


def list_plugins(resources: Resources) -> list[dict[str, Any]]:
    """Return a summary of each plugin as plain values, sorted by name."""
    registry, site = resources.registry, resources.site
    plugins = list(registry)
    described = describe(plugins, cache_file("plugins.json", os.environ))
    found = [_summary(plugin, described[plugin.name]) for plugin in plugins]
    for row in found:
        if row["status"] == "ok" and "stage" in row["hooks"] and not site.allows_method(row["name"]):
            row["status"] = "not enabled"
    found += [_disabled(name) for name in registry.disabled]
    return sorted(found, key=lambda row: str(row["name"]))


def _summary(plugin: InstalledPlugin, description: Description) -> dict[str, Any]:
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "status": "conflict" if plugin.conflicts else "broken" if description.broken else "ok",
        "hooks": list(description.hooks),
        "summary": description.summary,
    }


def _disabled(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "distribution": None,
        "status": "disabled",
        "hooks": [],
        "summary": "left out by the site file or IMAGEPORT_DISABLED_PLUGINS",
    }
