"""Keep how a store was opened, so that a later command can reach its copies."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict

from pydantic import ValidationError

from imageport.configuration.configure import configure_store
from imageport.configuration.paths import resolve_paths
from imageport.configuration.resolution import ConfiguredStep
from imageport.configuration.site import Site
from imageport.configuration.templating import Variables, has_reference, literal, texts_of
from imageport.errors import StoreFailed, UsageError
from imageport.plugins.binding import BoundStep
from imageport.plugins.registry import PluginRegistry
from imageport.plugins.secret_options import secret_options
from imageport.redaction import redact
from imageport.text import map_texts
from imageport.values import Location

#: Where a location keeps how its store is opened, so that any later command can reach the copy.
DEFINITION = "definition"

#: The plugin and the options of an entry of a pipeline, and the folder of its relative paths.
Definition = TypedDict("Definition", {"use": str, "with": dict[str, Any], "folder": str})


def with_definition(location: Location, store: str, definition: Definition | None) -> Location:
    """Return *location* as the catalog keeps it: with its store, and how that is opened if it is known."""
    kept = {} if definition is None else {DEFINITION: json.dumps(definition, sort_keys=True)}
    return replace(location, store=store, metadata={**location.metadata, **kept})


def without_definition(location: Location) -> Location:
    """Return *location* as its store made it."""
    metadata = {name: value for name, value in location.metadata.items() if name != DEFINITION}
    return replace(location, metadata=metadata)


def definition_of(store: ConfiguredStep) -> Definition | None:
    """Return the data to open this store again.

    Options that were written as references to the environment or a file stay references; all others come from the
    checked model. None when a secret stands in the YAML itself: it is not kept anywhere.
    """
    written: Any = store.file.data
    for key in store.key_path:
        written = written[key]
    written = (written.get("with") if isinstance(written, dict) else None) or {}
    options = {}
    for name, value in store.config.model_dump(mode="json").items():
        references = [has_reference(text) for text in texts_of(written.get(name))]
        if any(secret_options(getattr(store.config, name))) and not (references and all(references)):
            return None
        options[name] = written[name] if any(references) else map_texts(value, literal)
    return {"use": store.installed.name, "with": options, "folder": str(store.folder)}


def reopen_store(label: str, definition: Definition, registry: PluginRegistry) -> BoundStep:
    """Return the store of *definition*. Raises ``StoreFailed`` when it cannot be opened here."""
    installed = registry.find(definition["use"])
    plugin_class = installed.load()
    model = plugin_class.config_model
    folder = Path(definition["folder"])
    variables = Variables(None, {}, {}, os.environ, folder, scopes=("env", "file"))
    try:
        options = map_texts(definition["with"], variables.expand)
        plugin = plugin_class(model.model_validate(resolve_paths(options, model, folder)))
    except ValueError as error:
        raise StoreFailed(
            f"store '{label}' cannot be opened as it was when the copy was written: "
            f"{redact(_reason(error), variables.secrets)}",
            hint="set the environment variables and files that its options refer to",
        ) from None
    store = BoundStep.bind(label, installed.distribution, plugin, is_store=True)
    return replace(store, secrets=store.secrets | variables.secrets)


def store_for(
    label: str, definition: Definition | None, site: Site | None, registry: PluginRegistry
) -> BoundStep | None:
    """Return the store of *definition*; without one that of *site* with the id *label*, or None.

    Raises ``StoreFailed`` when it cannot be opened here.
    """
    if definition is not None:
        return reopen_store(label, definition, registry)
    if site is None:
        return None
    try:
        store = configure_store(site, label, registry)
        if store is None:
            return None
        plugin = store.plugin_class(store.config)
    except UsageError as error:
        raise StoreFailed(f"store '{label}' cannot be opened: {error}", hint=error.hint) from error
    return BoundStep.bind(label, store.installed.distribution, plugin, is_store=True)


def _reason(error: ValueError) -> str:
    """Return the mistakes in the options, without their values: some are secret."""
    if not isinstance(error, ValidationError):
        return str(error)
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(": ".join((".".join(map(str, detail["loc"])), detail["msg"])) for detail in details)
