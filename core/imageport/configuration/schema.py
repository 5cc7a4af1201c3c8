"""JSON Schema of the YAML files, with the options of every installed plugin, for editors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from imageport.configuration.entries import Pipeline, SourceEntry, StepEntry
from imageport.configuration.site import Site
from imageport.errors import PluginBroken
from imageport.plugins.registry import PluginRegistry, hooks_of
from imageport.plugins.roles import Role, fits

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

#: A string with a variable in it may stand for a value of any type.
_VARIABLE = {"type": "string", "pattern": r"\{"}
_ANNOTATIONS = ("title", "description", "default", "deprecated")
_INNER = ("items", "additionalProperties")
_INNER_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_INNER_MAPS = ("properties", "patternProperties", "$defs")


@dataclass(frozen=True, slots=True)
class _Working:
    """A plugin that can be imported, with the schema of its options."""

    name: str
    summary: str
    hooks: frozenset[str]
    options: Schema


def pipeline_schema(registry: PluginRegistry) -> Schema:
    """Return the JSON Schema (2020-12) of pipeline files; broken plugins are left out."""
    plugins = list(_working(registry))
    schema = with_variables(Pipeline.model_json_schema())
    store = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/store"}]}
    schema["properties"] |= {
        "source": {"$ref": "#/$defs/source"},
        "steps": _list_of(schema, "steps", {"$ref": "#/$defs/step"}),
        "stores": {**_list_of(schema, "stores", store), "type": "array", "minItems": 1},
        "observers": _list_of(schema, "observers", {"$ref": "#/$defs/observer"}),
    }
    entries = {
        "source": _entry(SourceEntry, plugins, "source"),
        "step": _entry(StepEntry, plugins, "step"),
        "store": _entry(StepEntry, plugins, "store"),
        "observer": _entry(StepEntry, plugins, "observer"),
    }
    return _complete(schema, "Imageport pipeline", entries, plugins)


def site_schema(registry: PluginRegistry) -> Schema:
    """Return the JSON Schema (2020-12) of the site file; broken plugins are left out."""
    plugins = list(_working(registry))
    schema = with_variables(Site.model_json_schema())
    schema["properties"] |= {
        "stores": _list_of(schema, "stores", {"$ref": "#/$defs/store"}),
        "observers": _list_of(schema, "observers", {"$ref": "#/$defs/observer"}),
    }
    entries = {
        "store": _entry(StepEntry, plugins, "store"),
        "observer": _entry(StepEntry, plugins, "observer"),
    }
    return _complete(schema, "Imageport site file", entries, plugins)


def with_variables(schema: Schema) -> Schema:
    """Return *schema* changed so that a string with a variable in it passes for any single value."""
    changed = dict(schema)
    for key, value in schema.items():
        if key in _INNER and isinstance(value, dict):
            changed[key] = with_variables(value)
        elif key in _INNER_LISTS:
            changed[key] = [with_variables(inner) for inner in value]
        elif key in _INNER_MAPS:
            changed[key] = {name: with_variables(inner) for name, inner in value.items()}
    if not _rejects_variables(schema):
        return changed
    annotations = {key: value for key, value in changed.items() if key in _ANNOTATIONS}
    constraints = {key: value for key, value in changed.items() if key not in _ANNOTATIONS}
    return {**annotations, "anyOf": [constraints, _VARIABLE]}


def _rejects_variables(schema: Schema) -> bool:
    if schema.get("type") == "string":
        return not {"type", *_ANNOTATIONS}.issuperset(schema)
    return schema.get("type") in ("integer", "number", "boolean") or "enum" in schema or "const" in schema


def _working(registry: PluginRegistry) -> Iterator[_Working]:
    for installed in registry:
        try:
            plugin_class = installed.load()
        except PluginBroken:
            continue
        yield _Working(
            installed.name,
            plugin_class.summary(),
            frozenset(hooks_of(plugin_class)),
            _options(installed.name, plugin_class.config_model),
        )


def _options(name: str, model: type[BaseModel]) -> Schema:
    try:
        schema = with_variables(model.model_json_schema(ref_template=f"#/$defs/{_key(name)}.{{model}}"))
    except Exception:  # noqa: BLE001 - a stranger's type may have no schema; what it accepts is still valid
        return {"type": "object"}
    # ``with:`` with nothing behind it means no options.
    return schema if schema.get("required") else {**schema, "type": ["object", "null"]}


def _entry(model: type[StepEntry], plugins: Iterable[_Working], role: Role) -> Schema:
    """Return the schema of an entry in the place of *role*; ``use`` decides the schema of ``with``."""
    fitting = [plugin for plugin in plugins if fits(plugin.hooks, role)]
    schema = model.model_json_schema()
    choices: list[Any] = [{"const": plugin.name, "description": plugin.summary} for plugin in fitting]
    schema["properties"] |= {
        "use": {"description": schema["properties"]["use"]["description"], "anyOf": choices or [False]},
        "with": {"description": schema["properties"]["with"]["description"]},
    }
    rules = {"allOf": [_options_of(plugin) for plugin in fitting]} if fitting else {}
    return {**schema, "title": role, **rules}


def _options_of(plugin: _Working) -> Schema:
    rule: Schema = {"properties": {"with": {"$ref": f"#/$defs/{_key(plugin.name)}"}}}
    if plugin.options.get("required"):
        rule["required"] = ["with"]
    return {"if": {"properties": {"use": {"const": plugin.name}}, "required": ["use"]}, "then": rule}


def _list_of(schema: Schema, key: str, items: Schema) -> Schema:
    description = schema["properties"][key]["description"]
    return {"description": description, "type": ["array", "null"], "items": items}


def _complete(
    schema: Schema, title: str, entries: Mapping[str, Schema], plugins: Iterable[_Working]
) -> Schema:
    definitions = {**schema.get("$defs", {}), **entries}
    for model in (StepEntry, SourceEntry):
        definitions.pop(model.__name__, None)
    for plugin in plugins:
        options = dict(plugin.options)
        for name, inner in options.pop("$defs", {}).items():
            definitions[f"{_key(plugin.name)}.{name}"] = inner
        definitions[_key(plugin.name)] = options
    return {"$schema": DIALECT, **schema, "title": title, "$defs": definitions}


def _key(name: str) -> str:
    return f"with.{name}"
