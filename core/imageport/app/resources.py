"""Site, plugins and catalog of one site file, each opened when it is first needed."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from imageport.catalog import Catalog
    from imageport.configuration.pipeline import ConfiguredPipeline
    from imageport.configuration.site import Site
    from imageport.importing.lease_keeper import Interruption
    from imageport.importing.stores import Stores
    from imageport.plugins.registry import InstalledPlugin, PluginRegistry

T = TypeVar("T")


class Resources:
    """The shared resources of one site. Threads may use them at the same time.

    A service uses them for as long as it runs; resources of one pipeline end with it.
    """

    def __init__(self, site_file: str | None) -> None:
        self.site_file = site_file
        self._pipelines: WeakValueDictionary[int, ConfiguredPipeline] = WeakValueDictionary()
        self._numbers = count()
        self._open: dict[str, Any] = {}
        self._opening = threading.RLock()

    @property
    def site(self) -> Site:
        """The site file, or the defaults."""
        return self._once("site", self._load_site)

    @property
    def registry(self) -> PluginRegistry:
        """The installed plugins."""
        return self._once("registry", self._find_plugins)

    @property
    def catalog(self) -> Catalog:
        """The database of images and tasks."""
        return self._once("catalog", self._open_catalog)

    @property
    def secrets(self) -> frozenset[str]:
        """The values of the site file, and of the pipelines that are in use, that no message may show."""
        with self._opening:
            found = frozenset().union(*(pipeline.secrets for pipeline in self._pipelines.values()))
            site: Site | None = self._open.get("site")
        return found if site is None else found | site.secrets

    def add_plugin(self, plugin: InstalledPlugin) -> None:
        """Count *plugin* among the installed ones. Raises ``UsageError`` when its name is taken."""
        with self._opening:
            self._open["registry"] = self.registry.including(plugin)

    def hold(self, pipeline: ConfiguredPipeline) -> None:
        """Count the values of *pipeline* among the secrets, as long as it is in use."""
        with self._opening:
            self._pipelines[next(self._numbers)] = pipeline

    def stores(self, interruption: Interruption | None = None) -> Stores:
        """Return a way to the stores of copies; close it after use, which takes no longer after an *interruption*."""
        from imageport.importing.stores import Stores

        if interruption is None:
            return Stores(self.registry, site=self.site)
        return Stores(self.registry, site=self.site, seconds_left=interruption.countdown(math.inf))

    def close(self) -> None:
        """Close the catalog, if it was opened."""
        with self._opening:
            catalog = self._open.pop("catalog", None)
        if catalog is not None:
            catalog.close()

    def _once(self, name: str, open_it: Callable[[], T]) -> T:
        with self._opening:
            if name not in self._open:
                self._open[name] = open_it()
            found: T = self._open[name]
            return found

    def _load_site(self) -> Site:
        from imageport.configuration.site_file import load_site

        return load_site(self.site_file, environ=os.environ, cwd=Path.cwd())

    def _find_plugins(self) -> PluginRegistry:
        from imageport.plugins.registry import PluginRegistry

        return PluginRegistry.installed(disabled=self.site.disabled_plugins)

    def _open_catalog(self) -> Catalog:
        from imageport.catalog import Catalog

        return Catalog(self.site.catalog)
