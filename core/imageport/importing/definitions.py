"""Open a store again in a later command, which has no pipeline."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from pydantic import BaseModel, SecretBytes, SecretStr, ValidationError

from imageport.configuration.configure import ConfiguredStep
from imageport.configuration.paths import resolve_paths
from imageport.configuration.templating import Variables, has_reference, literal, texts_of
from imageport.errors import StoreFailed
from imageport.plugins.binding import BoundStep
from imageport.plugins.registry import PluginRegistry
from imageport.redaction import redact
from imageport.text import map_texts

#: What an entry of a pipeline is written with, and the folder of its relative paths.
Definition = TypedDict("Definition", {"use": str, "with": dict[str, Any], "folder": str})


def definition_of(store: ConfiguredStep) -> Definition | None:
    """Return what it takes to open this store again.

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
        if _holds_secret(getattr(store.config, name)) and not (references and all(references)):
            return None
        options[name] = written[name] if any(references) else map_texts(value, literal)
    return {"use": store.installed.name, "with": options, "folder": str(store.folder)}


def reopen_store(label: str, definition: Definition, registry: PluginRegistry) -> BoundStep:
    """Return the store that *definition* tells of. Raises ``StoreFailed`` when it cannot be opened here."""
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
    return BoundStep.bind(label, installed.distribution, plugin, is_store=True)


def _reason(error: ValueError) -> str:
    """Say what is wrong with the options, without their values: some are secret."""
    if not isinstance(error, ValidationError):
        return str(error)
    told = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(": ".join((".".join(map(str, detail["loc"])), detail["msg"])) for detail in told)


def _holds_secret(value: Any) -> bool:
    if isinstance(value, BaseModel):
        value = dict(value)
    if isinstance(value, Mapping):
        return any(_holds_secret(item) for item in value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(_holds_secret(item) for item in value)
    return isinstance(value, (SecretStr, SecretBytes))
