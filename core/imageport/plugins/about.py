"""The description of a plugin, read from the plugin itself."""

from __future__ import annotations

import json
from inspect import cleandoc
from typing import Any

from pydantic import BaseModel

from imageport.plugins.provenance import provenance
from imageport.plugins.registry import InstalledPlugin, hooks_of
from imageport.plugins.roles import SECTIONS, Role, fits, roles_of


def about(installed: InstalledPlugin) -> dict[str, Any]:
    """Return summary, details, hooks, facts, options and an example of a plugin. Raises ``PluginBroken``."""
    plugin_class = installed.load()
    hooks = hooks_of(plugin_class)
    options = options_of(plugin_class.config_model)
    return {
        "name": installed.name,
        "distribution": installed.distribution,
        **provenance(installed.distribution).as_dict(),
        "contract": list(installed.contracts),
        "summary": plugin_class.summary(),
        "details": cleandoc(plugin_class.__doc__ or "").partition("\n")[2].strip(),
        "roles": roles_of(frozenset(hooks)),
        "hooks": list(hooks),
        "reads": plugin_class.reads if "transform" in hooks else None,
        "writes": plugin_class.writes if "transform" in hooks else None,
        "runs_after": sorted(plugin_class.runs_after),
        "runs_before": sorted(plugin_class.runs_before),
        "starts_from": sorted(plugin_class.starts_from) if "stage" in hooks else [],
        "copies": plugin_class.copies if "stage" in hooks else None,
        "binaries": list(plugin_class.binaries),
        "capabilities": plugin_class.capabilities.as_dict() if fits(frozenset(hooks), "store") else None,
        "stability": plugin_class.stability,
        "options": options,
        "example": _example(installed.name, frozenset(hooks), options),
    }


def options_of(model: type[BaseModel]) -> list[dict[str, Any]]:
    """Return name, type, default and description of each field of *model*."""
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    return [
        {
            "name": name,
            "type": _type(option, definitions),
            "required": name in schema.get("required", ()),
            "default": _default(option),
            "description": option.get("description", ""),
        }
        for name, option in schema.get("properties", {}).items()
    ]


def _default(option: dict[str, Any]) -> Any:
    default = option.get("default")
    # A set has no order; its description should not change from run to run.
    return sorted(default) if option.get("uniqueItems") and default else default


def _type(schema: dict[str, Any], definitions: dict[str, Any]) -> str:
    """Return the type that *schema* stands for in words, such as ``list of string``."""
    if "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    if choices := schema.get("enum", [schema["const"]] if "const" in schema else None):
        return " | ".join(map(str, choices))
    if kinds := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
        names = [_type(kind, definitions) for kind in kinds]
        return " | ".join(name for name in dict.fromkeys(names) if name != "null")
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        kind = f"list of {_type(schema.get('items', {}), definitions)}"
    elif kind == "object":
        kind = "mapping"
    return str(schema.get("format", kind))


def _example(name: str, hooks: frozenset[str], options: list[dict[str, Any]]) -> str:
    """Return the shortest entry that uses the plugin, in the section of a pipeline where it belongs."""
    roles: tuple[Role, ...] = ("source", "store", "step" if "transform" in hooks else "observer", "step")
    section = SECTIONS[next((role for role in roles if fits(hooks, role)), "step")]
    required = [f"{option['name']}: {_sample(option['type'])}" for option in options if option["required"]]
    dash, indent = ("", "  ") if section == "source" else ("- ", "    ")
    lines = [f"{section}:", f"  {dash}use: {name}"]
    if required:
        lines.append(f"{indent}with: {{{', '.join(required)}}}")
    return "\n".join(lines)


def _sample(kind: str) -> str:
    first = kind.partition(" | ")[0]
    samples = {
        "string": '"..."', "path": "/path/to/it", "uri": "https://example.org/", "integer": "1", "number": "1.0",
        "boolean": "true",
    }  # fmt: skip
    if first.startswith("list of "):
        return f"[{_sample(first.removeprefix('list of '))}]"
    if first.startswith("mapping"):
        return "{name: value}"
    return samples.get(first, first if " | " in kind else json.dumps("..."))
