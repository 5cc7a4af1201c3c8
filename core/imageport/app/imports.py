"""Imports that a program prepares and runs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from imageport.access.permissions import Access
from imageport.app.pipelines import load, plan_of
from imageport.app.resources import Resources
from imageport.configuration.pipeline import ConfiguredPipeline
from imageport.errors import UsageError
from imageport.events import Event, ImageEvent
from imageport.hookspecs import hookimpl
from imageport.importing.admission import ImportRequest
from imageport.importing.importer import Importer
from imageport.importing.lease_keeper import Interruption
from imageport.importing.plan import Plan
from imageport.importing.report import Report
from imageport.plugin import NoConfig, Plugin
from imageport.plugins.binding import BoundStep

log = logging.getLogger(__name__)


class PreparedImport:
    """An import whose pipeline is read and whose plugins are made, ready to run once."""

    def __init__(
        self,
        resources: Resources,
        access: Access,
        pipeline: ConfiguredPipeline,
        plan: Plan,
        request: ImportRequest,
    ) -> None:
        self._resources = resources
        # In use, its values are among the secrets.
        self._pipeline = pipeline
        self._access = access
        self._plan = plan
        self._request = request

    @property
    def plan(self) -> Mapping[str, Any]:
        """Pipeline, source, steps, stores and staging as plain values, as in the report."""
        return self._plan.describe()

    def run(
        self,
        *,
        on_event: Callable[[Event], None] | None = None,
        observers: Sequence[str] = (),
        interruption: Interruption | None = None,
    ) -> Report:
        """Import the image, and return the report; a failed import is rolled back, and its ``error`` is there.

        *on_event* is called with each event but the last, which has the report, in one other thread; records in them
        are as the caller may see them. *observers* are names of installed observers that get the events, too. A signal
        ends the import, with *interruption* entered in the main thread; ``interruption.interrupt()`` ends it from any
        thread.
        """
        resources = self._resources
        plan = self._plan
        if on_event is not None:
            plan = replace(plan, observers=(*plan.observers, self._callback(on_event)))
        for name in observers:
            plan = replace(plan, observers=(*plan.observers, *self._installed(name)))
        importer = Importer(
            resources.site, resources.catalog, resources.registry, interruption or Interruption()
        )
        report = importer.run(plan, self._request)
        if report.image is not None:
            report.image = self._access.shown(report.image)
        return report

    def _callback(self, on_event: Callable[[Event], None]) -> BoundStep:
        return BoundStep.bind("on_event", "imageport", _Callback(on_event, self._access))

    def _installed(self, name: str) -> Iterator[BoundStep]:
        try:
            installed = self._resources.registry.find(name)
            plugin_class = installed.load()
            yield BoundStep.bind(name, installed.distribution, plugin_class(plugin_class.config_model()))
        except UsageError as error:
            log.warning("observer '%s' gets no events: %s", name, error.message)


def prepare(
    resources: Resources,
    access: Access,
    request: ImportRequest,
    *,
    pipeline: str | Path,
    source: str | None,
    variables: Mapping[str, str],
    all_stores_must_succeed: bool | None,
) -> PreparedImport:
    """Read *pipeline* and make its plugins."""
    configured = load(
        resources,
        pipeline,
        source_uri=source,
        variables=variables,
        require_source=True,
        more_stores=resources.site.store_ids() if request.all_stores else request.stores,
    )
    plan = plan_of(configured)
    if all_stores_must_succeed is not None:
        plan = replace(plan, terms=replace(plan.terms, all_stores_must_succeed=all_stores_must_succeed))
    return PreparedImport(resources, access, configured, plan, request)


class _Callback(Plugin[NoConfig]):
    """Pass events to a function."""

    def __init__(self, on_event: Callable[[Event], None], access: Access) -> None:
        super().__init__(NoConfig())
        self._on_event = on_event
        self._access = access

    @hookimpl
    def on_progress(self, event: Event) -> None:
        if event.kind == "report":
            return
        if isinstance(event, ImageEvent):
            event = replace(event, record=self._access.shown(event.record))
        self._on_event(event)
