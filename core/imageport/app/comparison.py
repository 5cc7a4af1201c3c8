"""Compare the copies that the catalog knows with those in the stores, both ways, for ``imageport gc``."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import TypeVar

from imageport.app.housekeeping import Leftover
from imageport.catalog import Catalog, StoredRow
from imageport.configuration.configure import configure_stores
from imageport.configuration.definitions import DEFINITION, definition_of, reopen_store, without_definition
from imageport.configuration.site import Site
from imageport.errors import PipelineInvalid, StoreFailed
from imageport.importing.context_factory import HostContext
from imageport.importing.plan import bind
from imageport.limits import Limits
from imageport.plugins.binding import BoundStep
from imageport.plugins.lifetime import close_all, made_store
from imageport.plugins.registry import PluginRegistry
from imageport.values import StoredCopy
from imageport.watched_calls import side_by_side

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Place:
    """A store to examine: ``listed`` are the urls of its copies, None when it has no list.

    Once it has ``failed`` nothing more is asked of it.
    """

    label: str
    make: Callable[[], BoundStep]
    store: BoundStep | None = None
    listed: set[str] | None = None
    failed: bool = False

    def answers(self, hook: str) -> bool:
        """Return whether the store can be asked for this."""
        return not self.failed and self.store is not None and hook in self.store.answers

    def open(self, limits: Limits) -> BoundStep:
        """Return the store; its plugin is made within the time of ``setup``."""
        if self.store is None:
            self.store = made_store(self.label, self.make, limits)
        return self.store


class Comparison:
    """The differences between *catalog* and the stores of the site file and of all copies that the catalog knows.

    Stores are examined side by side, and each call has its deadline, so one that does not answer takes its time once.
    A store is listed before the rows of the catalog are read, and a difference is looked at twice, so that imports and
    deletions at the same time make none. In memory are the urls of the copies in stores, and a page of rows.
    """

    def __init__(self, site: Site, catalog: Catalog, registry: PluginRegistry) -> None:
        self._site = site
        self._catalog = catalog
        self._registry = registry
        #: By the definition of the store, or its label where that is not known.
        self._places: dict[str, _Place] = {}
        #: The keys of the stores of the site file, by label.
        self._keys: dict[str, str] = {}

    def differences(self, ctx: HostContext) -> Iterator[Leftover]:
        """Yield copies without a row (``unknown``), rows without a copy (``missing``), and failing stores (``store``).

        Nothing is changed: another catalog may own a copy that this one does not know.
        """
        try:
            yield from self._find_stores()
            yield from self._each(self._once(), partial(self._list, ctx=ctx))
            yield from self._missing(ctx)
            yield from self._unknown(ctx)
        finally:
            close_all(place.store for place in self._places.values() if place.store is not None)

    def _find_stores(self) -> Iterator[Leftover]:
        try:
            for entry in configure_stores(self._site, self._registry):
                definition = definition_of(entry)
                key = entry.label if definition is None else json.dumps(definition, sort_keys=True)
                self._keys[entry.label] = key
                self._places[key] = _Place(entry.label, partial(bind, entry))
        except PipelineInvalid as error:
            yield Leftover(kind="store", name="stores of the site file", error=str(error))
        for row in chain.from_iterable(self._catalog.stored_rows()):
            key, label, kept = self._key_of(row), row.location.store, row.location.metadata.get(DEFINITION)
            if key in self._places:
                continue
            if kept is not None:
                self._places[key] = _Place(label, partial(_reopened, label, kept, self._registry))
            else:
                self._places[key] = place = _Place(label, _unreachable, failed=True)
                yield _not_examined(place, "it is not known how to reach it: add it to the site file")

    def _key_of(self, row: StoredRow) -> str:
        label = row.location.store
        return row.location.metadata.get(DEFINITION) or self._keys.get(label, label)

    def _list(self, place: _Place, _: None, ctx: HostContext) -> None:
        store = place.open(ctx.limits)
        if "store_list" in store.answers:
            place.listed = {copy.location.url for copy in store.store_list(ctx)}

    def _missing(self, ctx: HostContext) -> Iterator[Leftover]:
        """Yield the visible copies that are not in their stores, and take all known copies off the lists."""
        for page in self._catalog.stored_rows():
            work: dict[str, list[StoredRow]] = {}
            for row in page:
                place = self._places.get(key := self._key_of(row))
                if place is None or not row.is_active or not place.answers("store_stat"):
                    continue
                if place.listed is None or row.location.url not in place.listed:
                    work.setdefault(key, []).append(row)
            known = {row.location.url for row in page}
            for place in self._places.values():
                if place.listed is not None:
                    place.listed -= known
            gone: list[StoredRow] = []
            yield from self._each(work, partial(self._look, gone=gone, ctx=ctx))
            yield from (_missing(row) for row in gone if self._catalog.is_stored(row))

    def _look(self, place: _Place, row: StoredRow, gone: list[StoredRow], ctx: HostContext) -> None:
        if place.open(ctx.limits).store_stat(without_definition(row.location), ctx) is None:
            gone.append(row)

    def _unknown(self, ctx: HostContext) -> Iterator[Leftover]:
        """Yield the copies that are still on the lists, are still there, and are still not known."""
        found: dict[str, tuple[str, StoredCopy]] = {}
        again = {key: once for key, once in self._once().items() if self._places[key].listed}
        yield from self._each(again, partial(self._list_again, found=found, ctx=ctx))
        if found:
            for row in chain.from_iterable(self._catalog.stored_rows()):
                found.pop(row.location.url, None)
        for url, (label, copy) in sorted(found.items()):
            yield Leftover(kind="unknown", name=url, store=label, size=copy.size)

    def _list_again(
        self, place: _Place, _: None, found: dict[str, tuple[str, StoredCopy]], ctx: HostContext
    ) -> None:
        for copy in place.open(ctx.limits).store_list(ctx):
            if place.listed and copy.location.url in place.listed:
                found[copy.location.url] = place.label, copy

    def _once(self) -> dict[str, list[None]]:
        """Return work to be done once for each store that answers."""
        return {key: [None] for key, place in self._places.items() if not place.failed}

    def _each(
        self, work: Mapping[str, Sequence[T]], action: Callable[[_Place, T], None]
    ) -> Iterator[Leftover]:
        """Do *action* for the items of each store up to its first error, side by side; yield the stores that fail."""

        def ask(pair: tuple[_Place, T]) -> None:
            if not pair[0].failed:
                try:
                    action(*pair)
                except BaseException:
                    pair[0].failed = True
                    raise

        pairs = {key: [(self._places[key], item) for item in items] for key, items in work.items()}
        reported: set[_Place] = set()
        for done in side_by_side(pairs, ask, late_error=self._late):
            place = done.item[0]
            if done.error is not None and place not in reported:
                log.debug("could not examine store %s", place.label, exc_info=done.error)
                place.failed = True
                reported.add(place)
                yield _not_examined(place, str(done.error))

    def _late(self, key: str) -> StoreFailed:
        return StoreFailed(f"store '{self._places[key].label}' does not answer", hint="check its server")


def _reopened(label: str, kept: str, registry: PluginRegistry) -> BoundStep:
    return reopen_store(label, json.loads(kept), registry)


def _unreachable() -> BoundStep:
    raise RuntimeError("nothing is asked of a store that cannot be reached")


def _not_examined(place: _Place, reason: str) -> Leftover:
    return Leftover(kind="store", name=place.label, store=place.label, error=reason)


def _missing(row: StoredRow) -> Leftover:
    store = row.location.store
    return Leftover(
        kind="missing",
        name=row.location.url,
        image_id=row.image_id,
        store=store,
        error=f"the copy of image {row.image_id} in store '{store}' is missing; if another store has one, forget this "
        f"one with 'imageport images delete {row.image_id} --store {store}' and copy the image again, else put it back "
        "or delete the image",
    )
