"""Builds the context that the plugins of one import share."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from imageport.configuration.site import Site
from imageport.configuration.templating import redact, redact_record, redact_tree
from imageport.context import Context
from imageport.errors import SourceRejected
from imageport.http.transport import HttpTransport
from imageport.http.urls import Url
from imageport.importing.interruption import Interruption
from imageport.importing.observing import Observers
from imageport.importing.plan import Plan
from imageport.importing.staging import Staging
from imageport.importing.stores import Stores
from imageport.inspection import InspectionPolicy
from imageport.rules.local_files import LocalFiles
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
    fetches goes through ``validate_source`` of every step and store of *plan*, the source and its redirects through
    that of the method as well.
    """

    def emit(event: Event) -> None:
        event = replace(
            event,
            message=redact(event.message, plan.secrets),
            error=event.error and redact(event.error, plan.secrets),
            record=event.record and redact_record(event.record, plan.secrets),
            detail=redact_tree(event.detail, plan.secrets),
        )
        note(event)
        observers.emit(event, context)

    journey = _start(plan.source.uri)
    one_at_a_time = threading.RLock()

    def validate(url: str, redirected_from: str | None) -> None:
        # The method knows its own source and where that redirects to; it would refuse what other plugins fetch.
        if (redirected_from or url) in journey:
            journey.add(url)
        judges = plan.everybody if url in journey else (*plan.steps, *plan.stores)
        source = Source(method=plan.source.method, uri=url, redirected_from=redirected_from)
        # Observers and stores fetch from threads of their own.
        with one_at_a_time:
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
        inspection=InspectionPolicy(
            declared=record.disk_format,
            require_match=site.require_image_format_match,
            nonfatal=frozenset(site.gpt_safety_checks_nonfatal),
            largest=site.limits.image_size_cap,
        ),
        local_files=LocalFiles.of(site.local_paths, caller),
        source=plan.source,
        work_folder=staging.directory,
        emit=emit,
        read_replica=lambda location: stores.read(location, context),
        announce_location=announce,
        cancelled=interruption.event,
    )
    return context


@contextmanager
def for_cleaning(ctx: Context, site: Site) -> Iterator[Context]:
    """Give *ctx* as stores need it to take copies back, also after the import was interrupted."""
    going_on = threading.Event()
    http = HttpTransport(
        rules=site.network, limits=site.limits, validate=lambda url, page: None, cancelled=going_on
    )
    try:
        yield replace(ctx, http=http, cancelled=going_on)
    finally:
        http.close()


def _start(uri: str | None) -> set[str]:
    """Return the url of the source as the transport writes it, or nothing when it is no url."""
    try:
        return {str(Url.parse(uri or ""))}
    except SourceRejected:
        return set()
