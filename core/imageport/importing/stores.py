"""Stores by id, and stores of copies that an earlier command wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from imageport.configuration.templating import Variables
from imageport.errors import StoreFailed
from imageport.plugins.binding import BoundStep
from imageport.plugins.catalogue import Catalogue
from imageport.values import Location

if TYPE_CHECKING:
    from imageport.context import Context
    from imageport.data import ImageData

#: Where a location keeps how its store is opened, so that any later command can reach the copy.
DEFINITION = "definition"


class Stores:
    """Opens the store behind a location."""

    def __init__(self, catalogue: Catalogue, known: Iterable[BoundStep] = ()) -> None:
        self._catalogue = catalogue
        self._known = {store.label: store for store in known}

    def holding(self, location: Location) -> BoundStep:
        """Return the store that holds *location*.

        The definition kept with the location comes first: a store id may mean another directory in another pipeline.
        Raises ``StoreFailed`` when the store cannot be opened here.
        """
        definition = location.metadata.get(DEFINITION)
        if definition is not None:
            return self._open(location.store, json.loads(definition))
        if location.store in self._known:
            return self._known[location.store]
        raise StoreFailed(
            f"nobody says how to reach store '{location.store}' of {location.url}",
            hint="add the store to the site file",
        )

    def read(self, location: Location, ctx: Context) -> ImageData:
        """Return the bytes of a copy."""
        return self.holding(location).store_read(_for_the_store(location), ctx)

    def delete(self, location: Location, ctx: Context) -> None:
        """Remove a copy."""
        store = self.holding(location)
        if "store_delete" not in store.answers:
            raise StoreFailed(
                f"store '{location.store}' cannot delete", hint=f"remove {location.url} by its own means"
            )
        store.store_delete(_for_the_store(location), ctx)

    def _open(self, label: str, definition: Mapping[str, Any]) -> BoundStep:
        installed = self._catalogue.find(definition["use"])
        plugin_class = installed.load()
        variables = Variables(source_uri=None, values={}, defaults={}, environ=os.environ)
        try:
            config = plugin_class.config_model.model_validate(_expanded(definition["with"], variables))
            plugin = plugin_class(config)
        except (ValidationError, ValueError) as error:
            raise StoreFailed(
                f"store '{label}' cannot be opened as it was when the copy was written: {error}",
                hint="set the environment variables and files that its options refer to",
            ) from error
        return BoundStep.bind(label, installed.distribution, plugin, is_store=True)


def with_definition(location: Location, store: str, definition: Mapping[str, Any] | None) -> Location:
    """Return *location* as the catalog keeps it: with its store, and how that is opened if it is known."""
    kept = {} if definition is None else {DEFINITION: json.dumps(definition, sort_keys=True)}
    return replace(location, store=store, metadata={**location.metadata, **kept})


def _for_the_store(location: Location) -> Location:
    metadata = {name: value for name, value in location.metadata.items() if name != DEFINITION}
    return replace(location, metadata=metadata)


def _expanded(value: Any, variables: Variables) -> Any:
    if isinstance(value, dict):
        return {name: _expanded(item, variables) for name, item in value.items()}
    if isinstance(value, list):
        return [_expanded(item, variables) for item in value]
    return variables.expand(value) if isinstance(value, str) else value
