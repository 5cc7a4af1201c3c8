"""Builds the context that the plugins of one import share."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from imageport.configuration.site import Site
from imageport.configuration.templating import redact, redact_tree
from imageport.context import Context
from imageport.http.transport import HttpTransport
from imageport.importing.interruption import Interruption
from imageport.importing.observing import Observers
from imageport.importing.plan import Plan
from imageport.importing.staging import Staging
from imageport.importing.stores import Stores
from imageport.values import Caller, Event, ImageRecord, Location, Source

log = logging.getLogger("imageport")


def build_context(
    site: Site, plan: Plan, record: ImageRecord, caller: Caller, *,
    stores: Stores,
    observers: Observers,
    interruption: Interruption,
    announce: Callable[[str, Location], None],
    note: Callable[[Event], None],
) -> Context:  # fmt: skip
    """Return the context of an import of *record*, before its task and work folder exist.

    *note* sees every event before the observers do, and none of them sees a secret. Every url that any plugin
    fetches goes through ``validate_source`` of every step and store of *plan*, and of the method if it reads a url.
    """

    def emit(event: Event) -> None:
        event = replace(
            event,
            message=redact(event.message, plan.secrets),
            error=event.error and redact(event.error, plan.secrets),
            detail=redact_tree(event.detail, plan.secrets),
        )
        note(event)
        observers.emit(event, context)

    # A method that reads no url would refuse every one, also those that other plugins fetch.
    judges = plan.everybody if "://" in (plan.source.uri or "") else (*plan.steps, *plan.stores)

    def validate(url: str, redirected_from: str | None) -> None:
        source = Source(method=plan.source.method, uri=url, redirected_from=redirected_from, fetched=True)
        for step in judges:
            step.validate_source(source, record, context)

    staging = Staging(site.staging.directory)
    context = Context(
        caller=caller,
        image_id=record.id,
        task_id="",
        step="",
        limits=site.limits,
        http=HttpTransport(
            rules=site.network, limits=site.limits, validate=validate, cancelled=interruption.event
        ),
        log=log,
        replicas=tuple(sorted(record.locations, key=lambda copy: copy.store != site.default_store)),
        staged=staging.staged(record.id),
        stream_only=plan.stream_only,
        work_folder=staging.directory,
        emit=emit,
        read_replica=lambda location: stores.read(location, context),
        announce_location=announce,
        cancelled=interruption.event,
    )
    return context
