from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from imageport.configuration.schema import pipeline_schema, site_schema, with_variables
from imageport.configuration.yamlfile import YamlFile
from imageport.plugins.registry import PluginRegistry

if TYPE_CHECKING:
    from tests.plugin_folder import PluginFolder

TYPES: dict[str, Any] = {
    "object": dict,
    "array": list,
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "null": type(None),
}
ANNOTATIONS = {"$schema", "$defs", "title", "description", "default", "format", "writeOnly"}


def violations(schema: Any, value: Any, root: Any, path: str = "") -> Iterator[str]:
    """Apply the keywords of JSON Schema that ours use; any other keyword fails the test."""
    if isinstance(schema, bool):
        schema = {} if schema else {"const": object()}
    for keyword, rule in schema.items():
        if not holds(keyword, rule, schema, value, root):
            yield f"{path or '/'}: {keyword}"
        yield from inner_violations(keyword, rule, schema, value, root, path)


def holds(keyword: str, rule: Any, schema: Any, value: Any, root: Any) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    match keyword:
        case "type":
            names = rule if isinstance(rule, list) else [rule]
            return any(isinstance(value, TYPES[name]) for name in names) and not (
                isinstance(value, bool) and "boolean" not in names
            )
        case "const":
            return bool(value == rule)
        case "enum":
            return value in rule
        case "required":
            return not isinstance(value, dict) or set(rule) <= set(value)
        case "pattern":
            return not isinstance(value, str) or re.search(rule, value) is not None
        case "minLength":
            return not isinstance(value, str) or len(value) >= rule
        case "minItems":
            return not isinstance(value, list) or len(value) >= rule
        case "minimum":
            return not is_number or value >= rule
        case "maximum":
            return not is_number or value <= rule
        case "minItems":
            return not isinstance(value, list) or len(value) >= rule
        case "exclusiveMinimum":
            return not is_number or value > rule
        case "anyOf":
            return any(not list(violations(option, value, root)) for option in rule)
        case "oneOf":
            return sum(not list(violations(option, value, root)) for option in rule) == 1
    assert keyword in ANNOTATIONS | {
        "$ref",
        "properties",
        "additionalProperties",
        "items",
        "allOf",
        "if",
        "then",
    }
    return True


def inner_violations(keyword: str, rule: Any, schema: Any, value: Any, root: Any, path: str) -> Iterator[str]:
    match keyword:
        case "$ref":
            yield from violations(root["$defs"][rule.removeprefix("#/$defs/")], value, root, path)
        case "allOf":
            for option in rule:
                yield from violations(option, value, root, path)
        case "if":
            if not list(violations(rule, value, root)):
                yield from violations(schema["then"], value, root, path)
        case "properties" if isinstance(value, dict):
            for name in rule.keys() & value.keys():
                yield from violations(rule[name], value[name], root, f"{path}/{name}")
        case "additionalProperties" if isinstance(value, dict):
            for name in value.keys() - schema.get("properties", {}).keys():
                yield from violations(rule, value[name], root, f"{path}/{name}")
        case "items" if isinstance(value, list):
            for index, item in enumerate(value):
                yield from violations(rule, item, root, f"{path}/{index}")


def mistakes(schema: Any, text: str) -> list[str]:
    return sorted(set(violations(schema, YamlFile.parse(text).data, schema)))


@pytest.fixture
def schema(acme: PluginFolder) -> Any:
    return pipeline_schema(PluginRegistry.installed())


def test_a_good_pipeline_fits_the_schema(schema: Any) -> None:
    text = """
        name: p
        vars: {level: "3"}
        source: {use: acme-fetch, uri: x, with: }
        steps:
          - {use: acme-unpack, with: {level: 3, mode: slow, token: t, nested: {depth: 2}}}
          - {use: acme-convert}
        stores: [shared, {use: acme-folder, id: fast, with: {directory: /srv}}]
        observers:
        all_stores_must_succeed: false
        staging: file
    """
    assert mistakes(schema, text) == []


def test_variables_may_stand_for_values_of_any_type(schema: Any) -> None:
    options = "{level: '{var.a}', mode: '{var.b}', token: '{env.C}', nested: {depth: 'x{var.d}'}}"
    text = f"name: p\nsource: {{use: acme-fetch}}\nsteps: [{{use: acme-unpack, with: {options}}}]\n"
    assert mistakes(schema, text) == []


@pytest.mark.parametrize(
    ("entry", "mistake"),
    [
        ("steps: [{use: acme-unpack, with: {lable: x}}]", "/steps/0/with/lable: const"),
        ("steps: [{use: acme-unpack, with: {level: x}}]", "/steps/0/with/level: anyOf"),
        ("steps: [{use: acme-unpack, with: {level: 0}}]", "/steps/0/with/level: anyOf"),
        ("steps: [{use: acme-unpack, with: {mode: x}}]", "/steps/0/with/mode: anyOf"),
        ("steps: [{use: acme-unpack, wiht: {}}]", "/steps/0/wiht: const"),
        ("steps: [{use: acme-unpak}]", "/steps/0/use: anyOf"),
        ("steps: [{use: acme-folder}]", "/steps/0/use: anyOf"),
        ("steps: [{}]", "/steps/0: required"),
        ("steps: [acme-unpack]", "/steps/0: type"),
        ("stores: [{use: acme-folder}]", "/stores/0: anyOf"),
        ("observers: [{use: acme-fetch}]", "/observers/0/use: anyOf"),
        ("staging: sometimes", "/staging: anyOf"),
        ("all_stores_must_succeed: 5", "/all_stores_must_succeed: anyOf"),
        ("step: []", "/step: const"),
    ],
)
def test_a_mistake_is_pointed_at(schema: Any, entry: str, mistake: str) -> None:
    assert mistakes(schema, f"name: p\nsource: {{use: acme-fetch}}\n{entry}\n") == [mistake]


def test_plugins_and_options_come_with_their_descriptions(schema: Any) -> None:
    choices = schema["$defs"]["step"]["properties"]["use"]["anyOf"]
    assert {"const": "acme-unpack", "description": "Unpack what Acme packed."} in choices
    assert schema["$defs"]["with.acme-unpack"]["properties"]["level"]["description"] == "How many layers."


def test_every_reference_leads_somewhere(acme: PluginFolder) -> None:
    for schema in (pipeline_schema(PluginRegistry.installed()), site_schema(PluginRegistry.installed())):
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        references = set(re.findall(r'"\$ref": "#/\$defs/([^"]+)"', json.dumps(schema)))
        assert references
        assert references <= set(schema["$defs"])


def test_broken_plugins_are_left_out(acme: PluginFolder) -> None:
    acme.install("acme-bad", {"acme-bad": "acme_bad:Bad"}, {"acme_bad": "raise SystemExit(3)"})
    assert "acme-bad" not in json.dumps(pipeline_schema(PluginRegistry.installed()))


def test_options_without_a_schema_pass(acme: PluginFolder) -> None:
    source = """
        from collections.abc import Callable
        from imageport import Plugin, PluginConfig, hookimpl

        class Config(PluginConfig):
            check: Callable[[], None] | None = None

        class Odd(Plugin[Config]):
            '''Be odd.'''

            @hookimpl
            def transform(self, image): ...
    """
    acme.install("acme-odd", {"acme-odd": "acme_odd:Odd"}, {"acme_odd": source})
    schema = pipeline_schema(PluginRegistry.installed())
    text = "name: p\nsource: {use: acme-fetch}\nsteps: [{use: acme-odd, with: {anything: goes}}]\n"
    assert mistakes(schema, text) == []


def test_the_schema_is_the_same_every_time(acme: PluginFolder) -> None:
    first, second = (json.dumps(pipeline_schema(PluginRegistry.installed())) for _ in range(2))
    assert first == second


def test_without_any_plugin_the_schema_allows_no_use() -> None:
    schema = pipeline_schema(PluginRegistry({}))
    assert mistakes(schema, "name: p\nsource: {use: x}\n") == ["/source/use: anyOf"]


def test_a_site_file_fits_its_schema(acme: PluginFolder) -> None:
    schema = site_schema(PluginRegistry.installed())
    good = """
        catalog: sqlite:////x.db
        staging: {directory: "{env.X}"}
        limits: {image_size_cap: 1 TiB, read_timeout: "{env.T}"}
        stores: [{use: acme-folder, id: fast, with: {directory: /srv}}]
        observers: [{use: acme-watch}]
        network: {allow_networks: [127.0.0.0/8], proxy: null}
    """
    assert mistakes(schema, good) == []
    bad = "stores: [{use: acme-watch}, fast]\nlimits: {read_timeout: -1}\nquota: {}\n"
    assert mistakes(schema, bad) == [
        "/limits/read_timeout: anyOf",
        "/quota: const",
        "/stores/0/use: anyOf",
        "/stores/1: type",
    ]


def test_plain_strings_need_no_second_form() -> None:
    plain = {"type": "string", "title": "A", "description": "A text."}
    assert with_variables(plain) == plain
