"""Report changes of images outside of imports to the observers of the site file."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from imageport.app.housekeeping import maintenance_context
from imageport.configuration.configure import configure_observers
from imageport.configuration.site import Site
from imageport.errors import ImageportError
from imageport.events import Event
from imageport.importing.context_factory import HostContext, redacted
from imageport.importing.plan import bind
from imageport.local_files import LocalFiles
from imageport.plugins.binding import BoundStep
from imageport.plugins.lifetime import close_all
from imageport.plugins.observers import Observers
from imageport.plugins.registry import PluginRegistry
from imageport.values import Caller

log = logging.getLogger(__name__)


@contextmanager
def observed_context(site: Site, registry: PluginRegistry, caller: Caller) -> Iterator[HostContext]:
    """Give a maintenance context whose events reach the observers of *site*, before the block is left."""
    plugins = _observers(site, registry)
    observers = Observers(plugins, patience=site.limits.observer_patience)

    def emit(event: Event) -> None:
        observers.emit(redacted(event, site.secrets), context)

    with maintenance_context(site) as silent:
        context = replace(
            silent, caller=caller, emit=emit, local_files=LocalFiles.of(site.local_paths, caller)
        )
        try:
            yield context
        finally:
            observers.close()
            close_all(plugins)


def _observers(site: Site, registry: PluginRegistry) -> Sequence[BoundStep]:
    try:
        return [bind(observer) for observer in configure_observers(site, registry)]
    except ImageportError as error:
        log.warning("the observers of %s get no events: %s", site.file.path, error.message)
        return ()
