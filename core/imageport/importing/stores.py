"""Stores: read, delete and write copies, each in its store."""

from __future__ import annotations

import itertools
import json
import logging
import math
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, Self

from imageport.catalog import Catalog, HiddenCopy
from imageport.cleaning import logged
from imageport.configuration.definitions import DEFINITION, Definition, store_for, without_definition
from imageport.configuration.site import Site
from imageport.context import Context
from imageport.data import ImageData
from imageport.dataplane.buffers import Chunks
from imageport.dataplane.shared_file import SharedFile
from imageport.errors import ImageportError, ImportFailed, StoreFailed
from imageport.importing.copies import discard
from imageport.limits import Limits
from imageport.plugins.binding import BoundStep, StepContexts
from imageport.plugins.capabilities import capabilities_of, limited
from imageport.plugins.lifetime import close_all, made_store
from imageport.plugins.registry import PluginRegistry
from imageport.plugins.translation import file_of
from imageport.values import Image, Location, PendingCopy
from imageport.watched_calls import side_by_side

log = logging.getLogger(__name__)


class Stores:
    """Opens the store behind a location; ``close`` closes its plugin again, while *seconds_left* returns any.

    Stores that are *known* are open; *definitions* has by label how each of them was opened. The location of a copy
    has no definition when a secret stands in the YAML itself: then the store of that id in *site* is opened.
    """

    def __init__(
        self,
        registry: PluginRegistry,
        known: Iterable[BoundStep] = (),
        definitions: Mapping[str, Definition | None] = MappingProxyType({}),
        site: Site | None = None,
        seconds_left: Callable[[], float] = lambda: math.inf,
    ) -> None:
        self._registry = registry
        self._site, self._seconds_left = site, seconds_left
        self._known = {store.label: store for store in known}
        self._definitions = definitions
        self._reopened: dict[tuple[str, str | None], BoundStep] = {}
        self._one_at_a_time = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the plugins of all stores, known and reopened."""
        with self._one_at_a_time:
            reopened = list(self._reopened.values())
            self._reopened.clear()
        close_all((*self._known.values(), *reopened), self._seconds_left)

    def holding(self, location: Location, limits: Limits) -> BoundStep:
        """Return the store that holds *location*.

        A known store whose definition differs from that of the location does not count: an id may mean another
        directory in another pipeline. Raises ``StoreFailed`` when the store cannot be opened here.
        """
        label = location.store
        kept = location.metadata.get(DEFINITION)
        definition: Definition | None = None if kept is None else json.loads(kept)
        if label in self._known and definition in (None, self._definitions.get(label)):
            return self._known[label]
        with self._one_at_a_time:
            opened = self._reopened.get((label, kept))
        # Without the lock: a plugin that is stuck while it is made must not hold up other stores.
        make = partial(store_for, label, definition, self._site, self._registry)
        if opened := opened or made_store(label, make, limits):
            with self._one_at_a_time:
                return self._reopened.setdefault((label, kept), opened)
        raise StoreFailed(
            f"it is not known how to reach store '{label}' of {location.url}",
            hint="add the store to the site file",
        )

    def read(self, location: Location, ctx: StepContexts) -> ImageData:
        """Return the bytes of a copy. Errors of its stream name the store."""
        limits = ctx.for_step(location.store).limits
        store = self.holding(location, limits)
        data = store.store_read(without_definition(location), ctx)
        if data.path is not None:
            return file_of(store, data)
        return data.counted(lambda chunks: store.guard(chunks, "store_read", limits))

    def delete(self, location: Location, ctx: StepContexts) -> None:
        """Remove a copy."""
        store = self.holding(location, ctx.for_step(location.store).limits)
        if "store_delete" not in store.answers:
            by_hand = f"remove {location.url} by its own means"
            raise StoreFailed(f"store '{location.store}' cannot delete", hint=by_hand)
        store.store_delete(without_definition(location), ctx)


@dataclass(frozen=True, slots=True)
class Removal:
    """What became of a hidden copy: it was *removed*, or *error* is the reason why it is still there.

    Without both another process was faster.
    """

    copy: HiddenCopy
    removed: bool
    error: BaseException | None = None


def remove_all(
    copies: Iterable[HiddenCopy],
    catalog: Catalog,
    stores: Stores,
    ctx: StepContexts,
    *,
    stuck: Collection[str] = (),
    seconds_left: Callable[[], float] = lambda: math.inf,
) -> Iterator[Removal]:
    """Remove the bytes and the rows of hidden copies, those of different stores at the same time; yield each.

    A store that does not answer in time, or fails copy after copy for as long, holds up no other: all of its copies
    stay known, for a later ``gc``, as do those of *stuck* stores, which are asked for nothing, and those for which no
    second is left.
    """
    work: dict[str, list[HiddenCopy]] = {}
    for copy in copies:
        if copy.location.store in stuck:
            yield Removal(copy, removed=False, error=_stuck(copy.location.store))
        else:
            work.setdefault(copy.location.store, []).append(copy)
    claimed: set[int] = set()

    def remove(copy: HiddenCopy) -> bool:
        if not catalog.claim_removal(copy.task_id, copy.location):
            return False
        claimed.add(id(copy))
        stores.delete(copy.location, ctx)
        catalog.forget(copy.task_id, copy.location)
        claimed.discard(id(copy))
        return True

    try:
        patience = ctx.for_step("").limits.store_patience
        for done in side_by_side(
            work, remove, late_error=_stuck, seconds_left=seconds_left, patience=patience
        ):
            if done.error is not None:
                log.debug("could not remove %s", done.item.location.url, exc_info=done.error)
                _release(done.item, catalog, claimed)
            yield Removal(done.item, removed=bool(done.result), error=done.error)
    finally:
        for copy in itertools.chain.from_iterable(work.values()):
            _release(copy, catalog, claimed)


def _release(copy: HiddenCopy, catalog: Catalog, claimed: set[int]) -> None:
    if id(copy) in claimed:
        claimed.discard(id(copy))
        with logged(f"release {copy.location.url}"):
            catalog.release_removal(copy.task_id, copy.location)


def _stuck(store: str) -> StoreFailed:
    return StoreFailed(f"store '{store}' does not answer", hint="check its server, then run 'imageport gc'")


class CopyContexts(StepContexts, Protocol):
    """Makes the context of a store for one attempt to write a copy."""

    def for_copy(self, label: str, announcing: Callable[[Location], AbstractContextManager[None]]) -> Context:
        """Return the context of the store called *label*, whose announcements happen within *announcing*."""
        ...


class _Attempt(ImageData):
    """The bytes of one attempt to write a copy, which a store gets once it has announced the copy.

    ``location`` is the announced one, ``fault`` the error of a store that asked for bytes before, even if it caught
    that error. Nothing can be announced once *is_wanted* returns False.
    """

    def __init__(
        self, open_chunks: Callable[[], Chunks], *,
        store: BoundStep, ctx: CopyContexts, is_wanted: Callable[[], bool],
        size: int | None, backing_file: Path | None,
    ) -> None:  # fmt: skip
        super().__init__(open_chunks, size=size, backing_file=backing_file)
        self.location: Location | None = None
        self.fault: ImageportError | None = None
        self._store = store
        self._ctx = ctx
        self._is_wanted = is_wanted

    def for_step(self, label: str) -> Context:
        """Return the context of the store."""
        return self._ctx.for_copy(label, self._announcing)

    def chunks(self) -> Chunks:
        """Iterate over the bytes. Raises ``StoreFailed`` when the copy is not announced by the first of them."""
        return self._announced(super().chunks())

    def breach(self, message: str) -> ImageportError:
        """Return the error about a store that has broken a rule."""
        defect = f"this is a defect of {self._store.distribution}: report it to its authors"
        return self._store.blamed(StoreFailed(message, hint=defect), "store_write")

    def require_kept(self, copy: PendingCopy, taken: int) -> None:
        """Raise the error of a rule that the store, which has returned *copy*, has broken."""
        if self.fault is not None:
            raise self.fault
        if self.location is None:
            raise self.breach("the store did not announce its copy")
        if copy.location.url != self.location.url:
            raise self.breach(f"the store announced {self.location.url} and wrote {copy.location.url}")
        if not self.finished or copy.bytes_written != taken:
            raise self.breach(
                f"the store took {copy.bytes_written} bytes where it was to take the whole image"
            )

    def _announced(self, chunks: Chunks) -> Chunks:
        if self.location is None:
            self.fault = self.breach("the store took bytes of the image before it announced its copy")
            raise self.fault
        yield from chunks

    @contextmanager
    def _announcing(self, location: Location) -> Iterator[None]:
        if not self._is_wanted():
            raise ImportFailed("this copy was abandoned", hint="look at the log for the reason")
        if not isinstance(location, Location):
            raise self.breach(f"the store announced {type(location).__name__} where Location is expected")
        if self.location is not None and self.location.url != location.url:
            raise self.breach(f"the store announced {self.location.url}, and then {location.url}")
        yield
        self.location = location


def write_copy(
    image: Image,
    ctx: CopyContexts,
    shared: SharedFile,
    store: BoundStep,
    chunks: Chunks,
    *,
    is_wanted: Callable[[], bool] = lambda: True,
) -> PendingCopy:
    """Let *store* write *chunks*, the bytes of *image*, and return the hidden copy.

    *shared* is the file that all stores of *ctx* have in common; *is_wanted* returns False once the copy was abandoned.
    Raises the errors of the store, and ``StoreFailed`` when it breaks a rule: it has not announced the copy before it
    takes bytes, announces or returns another url, or does not take all bytes.
    """
    taken = 0

    def counted() -> Chunks:
        nonlocal taken
        for chunk in limited(chunks, capabilities_of(store)):
            taken += len(chunk)
            yield chunk

    attempt = _Attempt(
        counted, store=store, ctx=ctx, is_wanted=is_wanted, size=image.data.size, backing_file=shared.path
    )
    shared.streams.add(attempt)
    try:
        copy = store.store_write(Image(image.record, attempt), attempt)
    except KeyboardInterrupt as error:
        # No signal raises in the thread of a store.
        raise store.blamed(error, "store_write") from error
    except BaseException as error:
        if attempt.fault is None or attempt.fault is error:
            raise
        raise attempt.fault from error
    try:
        attempt.require_kept(copy, taken)
    except BaseException:
        discard(store.label, copy)
        raise
    return copy
