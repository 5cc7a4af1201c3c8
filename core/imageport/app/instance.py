"""Imageport at one site, for programs: the work of the commands, without printing, prompts and exit codes."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from imageport.app.resources import Resources

if TYPE_CHECKING:
    from imageport.app.diagnosis import Diagnosis
    from imageport.app.housekeeping import Leftover
    from imageport.app.session import Session
    from imageport.catalog import Upgrade
    from imageport.errors import Problem
    from imageport.values import Caller

_NOTHING: Mapping[str, str] = MappingProxyType({})


class Imageport:
    """Imageport with the configuration of one site file.

    *site_file* is found as by the commands when it is None: ``IMAGEPORT_CONFIG``, ``imageport.yaml`` in the working
    folder, that of the user, that of the machine, defaults. Nothing is opened before it is needed: a file with
    mistakes raises ``PipelineInvalid`` in the first method that needs it. Threads may share one ``Imageport``. Close
    it, or use it in a ``with`` statement.
    """

    def __init__(self, site_file: str | Path | None = None) -> None:
        self._resources = Resources(None if site_file is None else str(site_file))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the catalog. The next method that needs it opens it again."""
        self._resources.close()

    @property
    def secrets(self) -> frozenset[str]:
        """The confidential values of the site file and of the pipelines in use: keep them out of logs and messages.

        Those of a pipeline are there as long as its ``PreparedImport``.
        """
        return self._resources.secrets

    def session(self, caller: Caller | None = None) -> Session:
        """Return the session of *caller*. Without one, the login user with the role ``member`` is the caller.

        Raises ``UsageError`` for names that no database can keep.
        """
        from imageport.access.texts import require_caller
        from imageport.app.session import Session
        from imageport.values import Caller

        if caller is None:
            caller = Caller(user=login_name(), roles=frozenset({"member"}))
        require_caller(caller)
        return Session(self._resources, caller)

    # ------------------------------------------------------------------------------------- pipelines and plugins

    def plan(
        self, pipeline: str | Path, source: str | None = None, *, variables: Mapping[str, str] = _NOTHING
    ) -> dict[str, Any]:
        """Return the plan of an import as plain values: steps, stores, staging, scratch data, bottleneck and limits.

        *source* is a url or a path, instead of ``source.uri`` of the pipeline. Nothing is fetched or changed; stores
        are asked whether they are ready, and digests are measured for some milliseconds. Raises ``PipelineInvalid``
        with all mistakes, ``PluginBroken``, and ``UsageError`` of plugins that cannot work with their options.
        """
        from imageport.app.pipelines import describe_plan

        return describe_plan(self._resources, pipeline, source, variables)

    def validate(self, pipeline: str | Path) -> list[Problem]:
        """Return all mistakes in the file *pipeline* and in the use of its plugins, in the order of their positions."""
        from imageport.app.pipelines import problems_of

        return problems_of(self._resources, pipeline)

    def stores(self, pipeline: str | Path | None = None) -> list[dict[str, Any]]:
        """Return the stores of the site file, or of *pipeline*, as plain values. Raises ``PipelineInvalid``."""
        from imageport.app.pipelines import describe_stores

        return describe_stores(self._resources, pipeline)

    def plugins(self) -> list[dict[str, Any]]:
        """Return status, roles, hooks, summary and origin of each installed plugin, by name. None is imported."""
        from imageport.app.plugins import list_plugins

        return list_plugins(self._resources)

    def examine_plugins(self, names: Sequence[str] = ()) -> Iterator[Diagnosis]:
        """Yield a finding about each of the plugins called *names*, or of all: import, hooks, name and programs.

        Each is imported in a separate process. Raises ``UsageError`` for a name that no plugin has.
        """
        from imageport.app.plugins import examine_plugins

        yield from examine_plugins(self._resources, names)

    def plugin(self, name: str) -> dict[str, Any]:
        """Return a description of a plugin: hooks, needs and options. Raises ``UsageError`` and ``PluginBroken``."""
        from imageport.plugins.about import about

        return about(self._resources.registry.find(name))

    def search_plugins(self, word: str, bundled: Path) -> list[dict[str, Any]]:
        """Return the plugins of an index that have *word* in name, package, summary or role, as plain values.

        The index is ``plugins.index`` of the site file, a path or a url, else the file *bundled*. Raises ``UsageError``
        for an index that cannot be used, ``SourceUnavailable`` and ``SourceRejected`` for its url.
        """
        from imageport.app.plugin_index import search

        return search(self._resources.site, word, bundled)

    def add_plugin_file(self, path: str | Path) -> str:
        """Make the plugin in the Python file *path* available to pipelines, for an experiment, and return its name.

        Its name is that of the file, without ``.py``. The file has one class that derives from ``Plugin``; those whose
        names begin with ``_`` do not count. It is run now. Raises ``UsageError`` when the name is taken or the file is
        missing, and ``PluginBroken`` for mistakes in it, and for a store, which has to be installed.
        """
        from imageport.plugins.plugin_file import FilePlugin

        plugin = FilePlugin.at(Path(path))
        self._resources.add_plugin(plugin)
        plugin.load()
        return plugin.name

    def schema(self, *, site: bool = False) -> dict[str, Any]:
        """Return the JSON Schema of pipeline files, or of site files, with the options of all installed plugins."""
        from imageport.configuration.schema import pipeline_schema, site_schema

        registry = self._resources.registry
        return site_schema(registry) if site else pipeline_schema(registry)

    # ------------------------------------------------------------------------------------------------- operation

    def clean_up(self, *, dry_run: bool = False, compare: bool = True) -> Iterator[Leftover]:
        """Roll back imports whose process died, remove their leftovers, and yield each after its removal.

        With *dry_run* nothing is changed. It is safe at any time, also beside running imports. A leftover that cannot
        be removed has an ``error``, and stays for the next time. With *compare*, the copies in the catalog are compared
        with those in the stores, and the differences are yielded; nothing is done about them.
        """
        from imageport.app.comparison import Comparison
        from imageport.app.housekeeping import Housekeeping, maintenance_context

        found = self._resources
        yield from Housekeeping(found.site, found.catalog, found.registry, dry_run=dry_run).leftovers()
        if compare:
            with maintenance_context(found.site) as ctx:
                yield from Comparison(found.site, found.catalog, found.registry).differences(ctx)

    def examine(self, pipeline: str | Path | None = None) -> Iterator[Diagnosis]:
        """Yield findings about Python, site file, plugins, programs, stores, catalog and leftovers.

        The stores and observers of the file *pipeline*, if there is one, are asked as well as those of the site file. A
        file with mistakes is a diagnosis, too, and raises nothing.
        """
        from imageport.app.doctor import examine

        yield from examine(self._resources.site_file, pipeline)

    def upgrade_catalog(self, before: Callable[[str], None] | None = None) -> Upgrade | None:
        """Upgrade the catalog to the schema of this Imageport; None when it is up to date.

        *before* is called with the command that makes a backup, where Imageport makes none itself. Raises ``Conflict``
        while imports are running, ``StoreFailed`` when the database cannot be reached.
        """
        from imageport.catalog import upgrade

        return upgrade(self._resources.site.catalog, before or (lambda _command: None))


def login_name() -> str:
    """Return the name of the user who runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that no name belongs to.
        return str(os.getuid())
