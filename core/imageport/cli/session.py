"""What the commands work with, opened when it is first asked for."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imageport.catalog import Catalog
    from imageport.configuration.site import Site
    from imageport.plugins.catalogue import Catalogue


class Session:
    """One call of ``imageport``: its global options, and the site, plugins and catalog that they name."""

    def __init__(self) -> None:
        self.config: str | None = None
        self.debug = False

    @cached_property
    def site(self) -> Site:
        """The site file, or the defaults."""
        from imageport.configuration.site import load_site

        return load_site(self.config, environ=os.environ, cwd=Path.cwd())

    @cached_property
    def catalogue(self) -> Catalogue:
        """The installed plugins."""
        from imageport.plugins.catalogue import Catalogue

        return Catalogue.installed(disabled=self.site.disabled_plugins)

    @cached_property
    def catalog(self) -> Catalog:
        """The database of images and tasks."""
        from imageport.catalog import Catalog

        return Catalog(self.site.catalog)

    def close(self) -> None:
        """Let go of the database, if it was opened."""
        if "catalog" in self.__dict__:
            self.catalog.close()
