"""The promises that every plugin keeps, as tests to inherit."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, get_origin

import pytest
from pydantic import BaseModel, ValidationError

from imageport.errors import Refused, SourceUnavailable
from imageport.plugin import Plugin
from imageport.plugins.hooks import marked_methods
from imageport.plugins.secret_options import secret_options
from imageport.redaction import MIN_SECRET_LENGTH
from imageport.testing.benches import Bench, bench, configure, find_plugin
from imageport.testing.clauses import PATIENCE, not_tried, require
from imageport.testing.imports import examine_import, require_light
from imageport.values import Source

#: Sources that a plugin may be asked about.
SOURCES: Mapping[str, str | None] = {
    "a web server": "https://images.example.org/disk.qcow2?x=1",
    "an address": "http://192.0.2.1:8080/disk.raw",
    "a file": "/srv/images/disk.raw",
    "nothing": None,
    "no text of a url": "ht tp://\x00[",
}


class PluginConformance:
    """Tests of any plugin; the suites of the roles have them, too.

    ``plugin`` is an installed name or a class. ``options`` are those under ``with:``; relative paths are in the folder
    of the test. ``patience`` is how many seconds a hook may take.
    """

    plugin: ClassVar[str | type[Plugin[Any]]]
    options: ClassVar[Mapping[str, Any]] = {}
    patience: ClassVar[float] = PATIENCE

    #: What the tests of a class are about, as the verdicts of ``plugins certify`` name it.
    role: ClassVar[str] = "every plugin"

    #: Whether the plugin is a store: errors name it as one.
    _is_store: ClassVar[bool] = False

    @pytest.fixture
    def under_test(self, tmp_path: Path) -> Iterator[Bench]:
        """Return the plugin, as an import calls it."""
        made = bench(self.plugin, self.options, tmp_path, is_store=self._is_store, patience=self.patience)
        with made as plugin:
            yield plugin

    def test_the_class_and_its_options_are_documented(self) -> None:
        """Write a docstring for the class, and a description for each option with Field(description=...)."""
        _, _, plugin_class = find_plugin(self.plugin)
        require("__doc__" in vars(plugin_class) and plugin_class.summary(), "the class has no docstring")
        for model, name in _fields(plugin_class.config_model):
            description = model.model_fields[name].description
            require(description, f"the option '{name}' of {model.__name__} has no description")

    def test_the_plugin_has_a_hook(self, under_test: Bench) -> None:
        """Mark at least one method with @hookimpl."""
        require(under_test.hooks, "no method is marked as a hook")

    def test_hooks_are_plain_functions_with_positional_arguments(self) -> None:
        """Write hooks with def, and name their arguments without * in front."""
        _, _, plugin_class = find_plugin(self.plugin)
        for name in marked_methods(plugin_class):
            function = inspect.unwrap(getattr(plugin_class, name))
            is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
            require(not is_async, f"the hook {name} is asynchronous")
            keywords = [
                argument.name
                for argument in inspect.signature(function).parameters.values()
                if argument.kind is inspect.Parameter.KEYWORD_ONLY
            ]
            require(
                not keywords, f"the hook {name} has arguments that are never passed: {', '.join(keywords)}"
            )

    def test_unknown_options_are_refused(self, tmp_path: Path) -> None:
        """Derive the options from imageport.PluginConfig, and leave its model_config as it is."""
        _, _, plugin_class = find_plugin(self.plugin)
        try:
            configure(plugin_class, {**self.options, "no_such_option": 1}, tmp_path)
        except ValidationError:
            return
        require(False, "the unknown option 'no_such_option' is accepted")

    def test_options_never_change(self, tmp_path: Path) -> None:
        """Keep what the plugin works out in attributes of the plugin, not in its options."""
        _, _, plugin_class = find_plugin(self.plugin)
        config = configure(plugin_class, self.options, tmp_path)
        frozen = all(model.model_config.get("frozen") for model, _ in _fields(type(config)))
        require(frozen, "the options can be changed: a model of them is not frozen")

    def test_options_survive_a_dump_and_a_load(self, tmp_path: Path) -> None:
        """Let validators of the options accept what they have made, and give every type a form in JSON."""
        _, _, plugin_class = find_plugin(self.plugin)
        config = configure(plugin_class, self.options, tmp_path)
        again = type(config).model_validate(config.model_dump(by_alias=True))
        require(again == config, "the options differ after model_dump and model_validate")
        text = config.model_dump_json(by_alias=True)
        if not secrets_of(config):
            again = type(config).model_validate_json(text)
            require(again == config, "the options differ after model_dump_json and model_validate_json")

    def test_no_secret_is_shown_with_the_options(self, tmp_path: Path) -> None:
        """Give options that are secret the type pydantic.SecretStr, and use their values in hooks only."""
        label, _, plugin_class = find_plugin(self.plugin)
        config = configure(plugin_class, self.options, tmp_path)
        shown = f"{config!r} {plugin_class(config)!r} {config.model_dump_json()}"
        for secret in secrets_of(config):
            require(secret not in shown, f"a secret option of {label} is shown as text")

    def test_two_instances_coexist(self, tmp_path: Path) -> None:
        """Keep the state of an import on self, never on the class or in the module."""
        label, distribution, plugin_class = find_plugin(self.plugin)
        before = _class_state(plugin_class)
        made = []
        for _ in range(2):
            config = configure(plugin_class, self.options, tmp_path)
            made.append(plugin_class(config))
            Bench(label, distribution, made[-1], tmp_path, is_store=self._is_store).close()
        require(made[0] is not made[1], "two entries of a pipeline get the same instance")
        require(made[0].config is not made[1].config, "two instances share their options")
        changed = [name for name, value in _class_state(plugin_class).items() if before.get(name) != value]
        require(not changed, f"making an instance changes the class: {', '.join(changed)}")

    def test_making_the_plugin_prints_nothing(
        self, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """Send messages to ctx.log: standard output belongs to the report of an import."""
        with bench(self.plugin, self.options, tmp_path):
            printed = capfd.readouterr().out
        require(not printed, f"making the plugin printed {printed[:80]!r}")

    def test_the_import_of_the_module_does_no_work(self) -> None:
        """Do work in hooks: a module of a plugin only defines names, and changes nothing of others."""
        _, _, plugin_class = find_plugin(self.plugin)
        module = sys.modules[plugin_class.__module__]
        if any(isinstance(value, type) and name.startswith("Test") for name, value in vars(module).items()):
            not_tried("the plugin is defined in a module of tests")
        require_light(examine_import(module, self.patience))

    @pytest.mark.parametrize("uri", SOURCES)
    def test_a_source_is_accepted_or_refused(self, under_test: Bench, uri: str) -> None:
        """Raise SourceRejected in validate_source for what the plugin refuses; open no connection there."""
        if "validate_source" not in under_test.hooks:
            not_tried("the plugin has no hook validate_source")
        try:
            under_test.validate(Source(method="web-source", uri=SOURCES[uri]))
        except (Refused, SourceUnavailable) as error:  # no network may know the name of the server
            require(error.message and error.hint, f"the source is refused without a hint: {error}")

    def test_findings_are_given_without_an_error(self, under_test: Bench) -> None:
        """Yield Finding("error", ...) in diagnose for what is wrong; raise nothing."""
        if "diagnose" not in under_test.hooks:
            not_tried("the plugin has no hook diagnose")
        for finding in under_test.diagnose():
            require(finding.message, "diagnose gave a finding without a message")
            require(
                finding.severity == "ok" or finding.hint,
                f"the finding '{finding.message}' comes without a hint",
            )


def secrets_of(config: BaseModel) -> list[str]:
    """Return the secret values in the options *config* that are long enough to be found in a text."""
    return [secret for secret in secret_options(config) if len(secret) >= MIN_SECRET_LENGTH]


def _fields(model: type[BaseModel]) -> Iterator[tuple[type[BaseModel], str]]:
    """Yield the fields of *model* and of the models in it."""
    for name, field in model.model_fields.items():
        yield model, name
        kind = get_origin(field.annotation) or field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _fields(kind)


def _class_state(plugin_class: type[Plugin[Any]]) -> dict[str, str]:
    """Return the attributes of the class that are neither functions nor inherited, as text."""
    return {
        name: repr(value)
        for name, value in vars(plugin_class).items()
        if not (name.startswith("__") or callable(value) or name in ("_abc_impl", "_abc_data"))
    }
