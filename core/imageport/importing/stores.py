"""Stores by id, and stores of copies that an earlier command wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from imageport.errors import StoreFailed
from imageport.importing.definitions import Definition, reopen_store
from imageport.plugins.binding import BoundStep, StepContexts
from imageport.plugins.registry import PluginRegistry
from imageport.values import Location

if TYPE_CHECKING:
    from imageport.data import ImageData

#: Where a location keeps how its store is opened, so that any later command can reach the copy.
DEFINITION = "definition"


class Stores:
    """Opens the store behind a location.

    Stores that are *known* are open; *definitions* says by label how each of them was opened.
    """

    def __init__(
        self,
        registry: PluginRegistry,
        known: Iterable[BoundStep] = (),
        definitions: Mapping[str, Definition | None] = MappingProxyType({}),
    ) -> None:
        self._registry = registry
        self._known = {store.label: store for store in known}
        self._definitions = definitions

    def holding(self, location: Location) -> BoundStep:
        """Return the store that holds *location*.

        A known store that is defined otherwise than the location says does not count: an id may mean another
        directory in another pipeline. Raises ``StoreFailed`` when the store cannot be opened here.
        """
        label = location.store
        kept = location.metadata.get(DEFINITION)
        definition: Definition | None = None if kept is None else json.loads(kept)
        if label in self._known and definition in (None, self._definitions.get(label)):
            return self._known[label]
        if definition is not None:
            return reopen_store(label, definition, self._registry)
        raise StoreFailed(
            f"nobody says how to reach store '{label}' of {location.url}",
            hint="add the store to the site file",
        )

    def read(self, location: Location, ctx: StepContexts) -> ImageData:
        """Return the bytes of a copy."""
        return self.holding(location).store_read(_for_the_store(location), ctx)

    def delete(self, location: Location, ctx: StepContexts) -> None:
        """Remove a copy."""
        store = self.holding(location)
        if "store_delete" not in store.answers:
            raise StoreFailed(
                f"store '{location.store}' cannot delete", hint=f"remove {location.url} by its own means"
            )
        store.store_delete(_for_the_store(location), ctx)


def with_definition(location: Location, store: str, definition: Definition | None) -> Location:
    """Return *location* as the catalog keeps it: with its store, and how that is opened if it is known."""
    kept = {} if definition is None else {DEFINITION: json.dumps(definition, sort_keys=True)}
    return replace(location, store=store, metadata={**location.metadata, **kept})


def _for_the_store(location: Location) -> Location:
    metadata = {name: value for name, value in location.metadata.items() if name != DEFINITION}
    return replace(location, metadata=metadata)
