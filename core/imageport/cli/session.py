"""Site, catalog and plugins of one command, opened when they are first needed."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imageport.access.permissions import Access
    from imageport.catalog import Catalog
    from imageport.cli.commands import InstalledCommand
    from imageport.configuration.site import Site
    from imageport.plugins.registry import PluginRegistry
    from imageport.values import Caller


class Session:
    """One call of ``imageport``: its global options, and the site, plugins and catalog that they name.

    ``secrets`` are those of its files so far, which neither errors nor log lines may show; ``command`` is the command
    that runs.
    """

    def __init__(self) -> None:
        self.config: str | None = None
        self.debug = False
        self.command: InstalledCommand | None = None
        self.secrets: set[str] = set()

    @cached_property
    def site(self) -> Site:
        """The site file, or the defaults."""
        from imageport.configuration.site import load_site

        site = load_site(self.config, environ=os.environ, cwd=Path.cwd())
        self.secrets |= site.secrets
        return site

    @cached_property
    def registry(self) -> PluginRegistry:
        """The installed plugins."""
        from imageport.plugins.registry import PluginRegistry

        return PluginRegistry.installed(disabled=self.site.disabled_plugins)

    @cached_property
    def catalog(self) -> Catalog:
        """The database of images and tasks."""
        from imageport.catalog import Catalog

        return Catalog(self.site.catalog)

    def access(self, user: str | None, project: str | None, roles: list[str] | None) -> Access:
        """Return what the caller that the options name may see and do."""
        from imageport.access.permissions import Access

        return Access(self.site, self.catalog, caller(user, project, roles))

    def close(self) -> None:
        """Let go of the database, if it was opened."""
        if "catalog" in self.__dict__:
            self.catalog.close()


def caller(user: str | None, project: str | None, roles: list[str] | None) -> Caller:
    """Return the caller that the options ``--user``, ``--project`` and ``--role`` name. Raises ``UsageError``."""
    from imageport.access.texts import require_caller
    from imageport.cli.output import login_name
    from imageport.values import Caller

    names = {name.strip() for given in roles or () for name in given.split(",")} - {""}
    found = Caller(user=user or login_name(), project=project or None, roles=frozenset(names or {"member"}))
    require_caller(found)
    return found
