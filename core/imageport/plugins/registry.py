"""The installed plugins, by name. Looking them up imports none of them."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from importlib.metadata import Distribution, EntryPoint, distributions
from types import MappingProxyType
from typing import Any

from imageport.errors import PluginBroken, UsageError
from imageport.plugin import Plugin, PluginConfig
from imageport.plugins.hooks import hooks_of, mistake_in_hooks
from imageport.text import did_you_mean

__all__ = ["DISABLED_VARIABLE", "GROUP", "PLUGIN_NAME", "InstalledPlugin", "PluginRegistry", "hooks_of"]

GROUP = "imageport.plugins"

#: Names of plugins to leave out, separated by commas.
DISABLED_VARIABLE = "IMAGEPORT_DISABLED_PLUGINS"

#: What a plugin may be called: the name becomes a label, a store id and part of file names.
PLUGIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

_FACTS: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "reads": lambda value: value in ("stream", "file", "either"),
        "writes": lambda value: value in ("nothing", "stream", "file", "disk"),
        "runs_after": lambda value: isinstance(value, (set, frozenset)),
        "runs_before": lambda value: isinstance(value, (set, frozenset)),
        "binaries": lambda value: isinstance(value, (tuple, list)),
        "starts_from": lambda value: isinstance(value, (set, frozenset)),
        "copies": lambda value: isinstance(value, bool),
    }
)

_log = logging.getLogger(__name__)

#: Where output and warnings go is the same for all threads: two that change it would not put it back.
_LOADING = threading.RLock()


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """One plugin that some distribution announces, not imported yet.

    ``distribution`` is its name and version, ``value`` says where the class is, as ``module:Class``, and
    ``conflicts`` are the other distributions that claim the name.
    """

    name: str
    distribution: str
    value: str
    conflicts: tuple[str, ...] = ()

    def load(self) -> type[Plugin[Any]]:
        """Import the plugin and return its class. Raises ``PluginBroken`` whatever is wrong with it."""
        self.check()
        try:
            with _LOADING, redirect_stdout(sys.stderr), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = EntryPoint(self.name, self.value, GROUP).load()
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            # A stranger's module may even leave by SystemExit; it must not take unrelated pipelines along.
            raise self._broken(f"cannot be imported: {type(error).__name__}: {error}") from error
        if not isinstance(found, type):
            raise self._broken(f"is not a class but {type(found).__name__} {self.value}")
        if not issubclass(found, Plugin):
            raise self._broken(f"is a class that does not derive from imageport.Plugin ({self.value})")
        model = found.config_model
        if not (isinstance(model, type) and issubclass(model, PluginConfig)):
            raise self._broken("has a config_model that does not derive from imageport.PluginConfig")
        if missing := getattr(found, "__abstractmethods__", None):
            raise self._broken(f"lacks methods that its base requires: {', '.join(sorted(missing))}")
        for fact, is_right in _FACTS.items():
            if not is_right(getattr(found, fact)):
                raise self._broken(
                    f"declares {fact} = {getattr(found, fact)!r:.80}, which is of the wrong type"
                )
        if mistake := _contradiction(found) or mistake_in_hooks(found):
            raise self._broken(mistake)
        return found

    def check(self) -> None:
        """Raise ``PluginBroken`` when the name is claimed twice or is no name."""
        if self.conflicts:
            claims = " and ".join((self.distribution, *self.conflicts))
            raise PluginBroken(
                f"plugin '{self.name}' is supplied by {claims}", hint="uninstall all but one of them"
            )
        if not PLUGIN_NAME.fullmatch(self.name):
            raise self._broken("has no proper name: letters, digits, '_', '.' and '-', at most 64")

    def _broken(self, reason: str) -> PluginBroken:
        error = PluginBroken(
            f"plugin '{self.name}' of {self.distribution} {reason}",
            hint=f"update or uninstall {self.distribution.partition(' ')[0]}",
        )
        error.distribution = self.distribution
        return error


def _contradiction(plugin_class: type[Plugin[Any]]) -> str | None:
    """Return how the facts of *plugin_class* contradict each other, or None."""
    statuses = plugin_class.starts_from
    if plugin_class.copies and statuses != {"active"}:
        listed = ", ".join(sorted(map(str, statuses)))
        return f"copies the bytes of active images, and declares that it starts from: {listed}"
    if not plugin_class.copies and "active" in statuses:
        return "starts from active images, whose bytes never change, and does not declare copies = True"
    return None


class PluginRegistry:
    """The plugins that pipelines may use."""

    def __init__(self, plugins: Mapping[str, InstalledPlugin], disabled: Collection[str] = ()) -> None:
        self._plugins = {name: plugins[name] for name in sorted(plugins) if name not in disabled}
        self._disabled = frozenset(disabled)

    @classmethod
    def installed(cls, *, disabled: Collection[str] = ()) -> PluginRegistry:
        """Read the entry points of all distributions, but for *disabled* ones, here or in the environment."""
        switched_off = {name.strip() for name in os.environ.get(DISABLED_VARIABLE, "").split(",")} - {""}
        plugins: dict[str, InstalledPlugin] = {}
        for plugin in _announced():
            known = plugins.setdefault(plugin.name, plugin)
            if known is not plugin:
                plugins[plugin.name] = replace(known, conflicts=(*known.conflicts, plugin.distribution))
        return cls(plugins, {*disabled, *switched_off})

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return list(self._plugins)

    @property
    def disabled(self) -> list[str]:
        """Return the names that were left out on request, sorted."""
        return sorted(self._disabled)

    def find(self, name: str) -> InstalledPlugin:
        """Return the plugin called *name*.

        Raises ``UsageError`` when there is none and ``PluginBroken`` when several distributions claim it.
        """
        if name in self._disabled:
            raise UsageError(
                f"plugin '{name}' is disabled",
                hint=f"see disabled_plugins in the site file and {DISABLED_VARIABLE} in the environment",
            )
        if name not in self._plugins:
            raise UsageError(
                f"unknown plugin '{name}'{did_you_mean(name, self._plugins)}",
                hint="see 'imageport plugins list', or pip install the package that supplies it",
            )
        plugin = self._plugins[name]
        plugin.check()
        return plugin

    def __iter__(self) -> Iterator[InstalledPlugin]:
        return iter(self._plugins.values())


def _announced() -> Iterator[InstalledPlugin]:
    seen: set[str] = set()
    for distribution in distributions():
        try:
            plugins = _plugins_of(distribution)
        except Exception:  # noqa: BLE001 - whatever is wrong with one distribution must not hide the others
            _log.info("the metadata of an installed distribution cannot be read", exc_info=True)
            continue
        if not plugins:
            continue
        # What stands again further down the path, below an editable install for instance, is never imported.
        name = re.sub(r"[-_.]+", "-", plugins[0].distribution.partition(" ")[0]).lower()
        if name not in seen:
            seen.add(name)
            yield from {plugin.name: plugin for plugin in reversed(plugins)}.values()


def _plugins_of(distribution: Distribution) -> list[InstalledPlugin]:
    # Nearly all distributions have no plugin: their files need not be parsed to see that.
    if GROUP not in (distribution.read_text("entry_points.txt") or ""):
        return []
    entries = distribution.entry_points.select(group=GROUP)
    if not entries:
        return []
    metadata = distribution.metadata
    supplier = " ".join(metadata[field] for field in ("Name", "Version") if field in metadata)
    return [
        InstalledPlugin(entry.name, supplier or "an unnamed distribution", entry.value) for entry in entries
    ]
