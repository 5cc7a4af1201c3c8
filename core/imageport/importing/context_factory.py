"""Builds the contexts of one import: its own, which sends every event, and that of each step, which does not."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields, replace
from operator import index
from typing import Any

from imageport.catalog import Catalog
from imageport.configuration.definitions import with_definition
from imageport.configuration.site import Site
from imageport.context import Context, StepLink, new_token
from imageport.data import ImageData
from imageport.dataplane.inspection import InspectionPolicy
from imageport.dataplane.shared_file import SharedFile
from imageport.errors import SourceRejected
from imageport.events import CheckEvent, Event, ImageEvent, ProgressEvent, SourceEvent
from imageport.http.transport import HttpTransport
from imageport.http.urls import Url
from imageport.importing.lease_keeper import Interruption
from imageport.importing.plan import Plan
from imageport.importing.staging import Staging
from imageport.importing.stores import Stores
from imageport.importing.verification import of_right_size
from imageport.local_files import LocalFiles
from imageport.plugins.lifetime import close_all
from imageport.plugins.observers import Observers
from imageport.redaction import redact_record, redact_tree
from imageport.values import Caller, ClientSettings, ImageRecord, Location, Source

log = logging.getLogger("imageport")

#: The lane of scratch files.
STAGING = "staging"


@dataclass(frozen=True, kw_only=True)
class Environment:
    """The surroundings of one import: the site, its catalog, the plan, and their services."""

    site: Site
    catalog: Catalog
    plan: Plan
    stores: Stores
    staging: Staging
    interruption: Interruption

    def close(self) -> None:
        """Close the plugins of the plan, after their last hook."""
        with self.stores:
            steps = (*self.plan.observers, self.plan.method, *self.plan.steps)
            close_all(steps, self.interruption.countdown(math.inf))

    def kept(self, location: Location, label: str) -> Location:
        """Return *location*, of the store *label*, as the catalog keeps it."""
        return with_definition(location, label, self.plan.terms.definitions.get(label))


@dataclass(frozen=True, kw_only=True)
class HostContext(Context):
    """The context of the import itself. It sends events of every kind, and makes the contexts of the steps.

    No plugin gets it, nor an object that refers to it.
    """

    emit: Callable[[Event], None]
    announce_location: Callable[[str, Location], None]
    known_digests: Callable[[], Mapping[str, str]] = dict

    def __post_init__(self) -> None:
        object.__setattr__(self, "_link", self._link_of(self.step))

    def send(self, event: Event) -> None:
        """Send *event* of this import to the observers."""
        self.emit(replace(event, task_id=self.task_id, image_id=event.image_id or self.image_id))

    def for_step(self, label: str) -> Context:
        """Return the context of the step called *label*."""
        read = self.read_replica

        def read_replica(location: Location) -> ImageData:
            # Not the method itself: a bound method refers to its object.
            return read(location)

        changes = {
            "step": label,
            "log": self.log.getChild(label),
            "read_replica": read_replica,
            "copy_token": new_token(),
            "_link": self._link_of(label),
        }
        return Context(**{item.name: getattr(self, item.name) for item in fields(Context)} | changes)

    def for_copy(self, label: str, announcing: Callable[[Location], AbstractContextManager[None]]) -> Context:
        """Return the context of the store called *label* for one copy, whose announcements happen in *announcing*."""
        announce = self.announce_location

        def announced(label: str, location: Location) -> None:
            with announcing(location):
                announce(label, location)

        return replace(self, announce_location=announced).for_step(label)

    def sharing(self, shared: SharedFile) -> HostContext:
        """Return this context for the stores of one pass, which have the file *shared* in common."""
        return replace(self, _shared=shared)

    def _link_of(self, label: str) -> StepLink:
        """Return the calls that are accepted from the step called *label*, even if its context is changed."""
        emit, announce = self.emit, self.announce_location
        task_id, image_id = self.task_id, self.image_id

        def progress(lane: str, done: int, total: int | None) -> None:
            total = None if total is None else index(total)
            emit(ProgressEvent(lane=lane, done=index(done), total=total, task_id=task_id, image_id=image_id))

        def check(name: str, passed: bool, digest: str | None, signer: str | None) -> None:
            event = CheckEvent(
                step=label,
                message=_text(name),
                verdict="passed" if passed else "failed",
                digest=None if digest is None else _text(digest),
                signer=None if signer is None else _text(signer),
                task_id=task_id,
                image_id=image_id,
            )
            emit(event)

        def source(url: str, error: str | None) -> None:
            error = None if error is None else _text(error)
            emit(SourceEvent(step=label, message=_text(url), error=error, task_id=task_id, image_id=image_id))

        return StepLink(
            progress=lambda done, total: progress(label, done, total),
            spooled=lambda done, total: progress(STAGING, done, total),
            check=check,
            source=source,
            announce=lambda location: announce(label, location),
            digests=self.known_digests,
        )


def build_context(
    env: Environment, record: ImageRecord, caller: Caller, observers: Observers, *,
    announce: Callable[[str, Location], None],
    note: Callable[[Event], None],
) -> HostContext:  # fmt: skip
    """Return the context of an import of *record*, before its task and work folder exist.

    *note* gets every event before the observers, and no event has a secret. Every url that any plugin
    fetches goes through ``validate_source`` of every step and store of *plan*, the source and its redirects through
    that of the method as well.
    """
    plan, site = env.plan, env.site

    def emit(event: Event) -> None:
        event = redacted(event, plan.secrets)
        note(event)
        observers.emit(event, context)

    context = HostContext(
        caller=caller,
        image_id=record.id,
        task_id="",
        step="",
        limits=site.limits,
        http=HttpTransport(
            rules=site.network,
            limits=site.limits,
            validate=_validator(plan, record, lambda: context),
            cancelled=env.interruption.event,
        ),
        log=log,
        replicas=tuple(sorted(record.locations, key=lambda copy: copy.store != site.default_store)),
        staged=env.staging.staged(record.id),
        stream_only=plan.stream_only,
        inspection=InspectionPolicy(
            declared=record.disk_format,
            require_match=site.require_image_format_match,
            nonfatal=frozenset(site.gpt_safety_checks_nonfatal),
            largest=site.limits.image_size_cap,
        ),
        local_files=LocalFiles.of(site.local_paths, caller),
        origin=plan.source,
        client=client_settings(site),
        work_folder=env.staging.directory,
        emit=emit,
        read_replica=lambda copy: of_right_size(env.stores.read(copy, context), record, copy.store),
        announce_location=announce,
        cancelled=env.interruption.event,
    )
    return context


def client_settings(site: Site) -> ClientSettings:
    """Return the settings of *site* for libraries that open connections themselves."""
    return ClientSettings(
        proxy=site.network.proxy,
        ca_bundle=site.network.ca_bundle,
        connect_timeout=site.limits.connect_timeout,
        read_timeout=site.limits.read_timeout,
    )


def _validator(
    plan: Plan, record: ImageRecord, context: Callable[[], HostContext]
) -> Callable[[str, str | None], None]:
    """Return the function that lets the steps refuse a url before it is fetched, and each of its redirects."""
    journey = _start(plan.source.uri)
    one_at_a_time = threading.RLock()

    def validate(url: str, redirected_from: str | None) -> None:
        # The method knows its own source and where that redirects to; it would refuse the urls of other plugins.
        if (redirected_from or url) in journey:
            journey.add(url)
        judges = plan.all_steps if url in journey else (*plan.steps, *plan.stores)
        source = Source(method=plan.source.method, uri=url, redirected_from=redirected_from)
        # Observers and stores fetch from separate threads.
        with one_at_a_time:
            for step in judges:
                step.validate_source(source, record, context())

    return validate


@contextmanager
def for_cleaning(ctx: HostContext, site: Site) -> Iterator[HostContext]:
    """Give *ctx* as stores need it to take copies back, also after the import was interrupted."""
    going_on = threading.Event()
    http = HttpTransport(
        rules=site.network, limits=site.limits, validate=lambda url, page: None, cancelled=going_on
    )
    try:
        yield replace(ctx, http=http, cancelled=going_on)
    finally:
        http.close()


def redacted(event: Event, secrets: Collection[str]) -> Event:
    """Return *event* with each of *secrets* replaced in its texts and its record."""
    changes: dict[str, Any] = {
        name: redact_tree(getattr(event, name), secrets)
        for name in ("message", "error", "detail")
        if getattr(event, name, None)
    }
    if isinstance(event, ImageEvent):
        changes["record"] = redact_record(event.record, secrets)
    return replace(event, **changes) if changes else event


def _text(value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is expected, not {type(value).__name__}")
    return value


def _start(uri: str | None) -> set[str]:
    """Return the url of the source as the transport writes it, or nothing when it is not a url."""
    try:
        return {str(Url.parse(uri or ""))}
    except SourceRejected:
        return set()
