"""The installed plugins, by name. Looking them up imports none of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from imageport.errors import UsageError
from imageport.plugin import Plugin, PluginConfig
from imageport.plugins.entry_points import EntryPoint, entry_points
from imageport.plugins.hooks import hooks_of, mistake_in_hooks
from imageport.text import did_you_mean
from imageport.values import StoreCapabilities

__all__ = ["DISABLED_VARIABLE", "GROUP", "InstalledPlugin", "PluginRegistry", "hooks_of"]

GROUP = "imageport.plugins"

#: Names of plugins to leave out, separated by commas.
DISABLED_VARIABLE = "IMAGEPORT_DISABLED_PLUGINS"

_FACTS: Mapping[str, Callable[[Any], bool]] = MappingProxyType(
    {
        "reads": lambda value: value in ("stream", "file", "either"),
        "writes": lambda value: value in ("nothing", "stream", "file", "disk"),
        "runs_after": lambda value: isinstance(value, (set, frozenset)),
        "runs_before": lambda value: isinstance(value, (set, frozenset)),
        "binaries": lambda value: isinstance(value, (tuple, list, Mapping)),
        "starts_from": lambda value: isinstance(value, (set, frozenset)),
        "copies": lambda value: isinstance(value, bool),
        "capabilities": lambda value: isinstance(value, StoreCapabilities),
    }
)


class InstalledPlugin(EntryPoint):
    """One plugin that some distribution announces, not imported yet."""

    __slots__ = ()
    kind = "plugin"

    def load(self) -> type[Plugin[Any]]:
        """Import the plugin and return its class. Raises ``PluginBroken`` for all of its mistakes."""
        found = self.import_object()
        if not isinstance(found, type):
            raise self.broken(f"is not a class but {type(found).__name__} {self.value}")
        if not issubclass(found, Plugin):
            raise self.broken(f"is a class that does not derive from imageport.Plugin ({self.value})")
        model = found.config_model
        if not (isinstance(model, type) and issubclass(model, PluginConfig)):
            raise self.broken("has a config_model that does not derive from imageport.PluginConfig")
        if missing := getattr(found, "__abstractmethods__", None):
            raise self.broken(f"lacks methods that its base requires: {', '.join(sorted(missing))}")
        for fact, is_right in _FACTS.items():
            if not is_right(getattr(found, fact)):
                raise self.broken(
                    f"declares {fact} = {getattr(found, fact)!r:.80}, which is of the wrong type"
                )
        if mistake := _contradiction(found) or mistake_in_hooks(found):
            raise self.broken(mistake)
        return found


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
        return cls(entry_points(GROUP, InstalledPlugin), {*disabled, *switched_off})

    def including(self, plugin: InstalledPlugin) -> PluginRegistry:
        """Return a registry that has *plugin*, too. Raises ``UsageError`` when its name is taken."""
        known = self._plugins.get(plugin.name)
        if known is not None:
            raise UsageError(
                f"plugin '{plugin.name}' of {plugin.distribution} has the name of one of {known.distribution}",
                hint="give it another name",
            )
        return PluginRegistry({**self._plugins, plugin.name: plugin}, self._disabled)

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
        plugin.require_usable()
        return plugin

    def __iter__(self) -> Iterator[InstalledPlugin]:
        return iter(self._plugins.values())
