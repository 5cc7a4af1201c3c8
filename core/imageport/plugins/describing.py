"""Describe plugins or commands in a separate process, so that the calling process imports none of them."""

from __future__ import annotations

import json
import os
import sys
import sysconfig
from importlib import import_module
from typing import Any

from imageport.errors import PluginBroken
from imageport.plugins.registry import InstalledPlugin, hooks_of


def main(descriptor: int, by: str) -> None:
    """Describe the entry points on standard input with the function that *by* names, and end the process.

    The input is JSON: a list of the fields of each ``EntryPoint``. *descriptor* gets a line of JSON for each: the
    fields of its ``Description``, and the files of the modules that were imported since the line before. Modules of the
    standard library are left out.
    """
    module, _, function = by.partition(":")
    describe = getattr(import_module(module), function)
    # A program that a plugin starts must not keep the other end waiting.
    os.set_inheritable(descriptor, False)
    reported: set[str] = set()
    with os.fdopen(descriptor, "w") as answers:
        for fields in json.load(sys.stdin):
            about = describe(*fields)
            files = _imported_files() - reported
            reported |= files
            print(json.dumps([about, sorted(files)]), file=answers, flush=True)
    sys.stderr.flush()
    # Threads and handlers of plugins must not delay the end.
    os._exit(0)


def describe_plugin(*fields: Any) -> dict[str, Any]:
    """Return the fields of the ``Description`` of a plugin; *fields* are those of its ``InstalledPlugin``."""
    plugin = InstalledPlugin(*fields)
    try:
        plugin_class = plugin.load()
        return {
            "hooks": hooks_of(plugin_class),
            "summary": str(plugin_class.summary()),
            "broken": False,
            "stability": str(plugin_class.stability),
            "binaries": [*map(str, plugin_class.binaries)],
        }
    except PluginBroken as error:
        reason = error.message
    # Neither a signal nor the end of the caller reaches this process: only the plugin can have raised these.
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - summary() of a plugin may raise anything
        reason = f"plugin '{plugin.name}' of {plugin.distribution} cannot be described: {type(error).__name__}: {error}"
    return {"hooks": (), "summary": reason, "broken": True}


def _imported_files() -> set[str]:
    library = sysconfig.get_path("stdlib") + os.sep
    packages = tuple(sysconfig.get_path(kind) + os.sep for kind in ("purelib", "platlib"))
    files = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    return {
        file
        for file in files
        if isinstance(file, str) and (file.startswith(packages) or not file.startswith(library))
    }
