"""What an import will do, decided before it does anything: every step bound, staging chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import SecretBytes, SecretStr

from imageport.configuration.pipeline import ConfiguredPipeline, ConfiguredStep
from imageport.errors import ImageportError, PluginBroken
from imageport.plugins.binding import BoundStep
from imageport.values import Source


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One pipeline, bound and ready to run.

    ``staging`` is ``file`` when the bytes are written to the staging directory before the stores see them, and
    ``stream`` when they pass without touching it; ``staging_reason`` says why.
    """

    name: str
    source: Source
    method: BoundStep
    steps: tuple[BoundStep, ...]
    stores: tuple[BoundStep, ...]
    observers: tuple[BoundStep, ...]
    all_stores_must_succeed: bool
    staging: Literal["file", "stream"]
    staging_reason: str
    spool_first: bool
    stream_only: bool
    definitions: dict[str, dict[str, Any] | None]
    secrets: frozenset[str] = frozenset()

    @property
    def copies(self) -> bool:
        """Whether this copies an active image to further stores."""
        return "active" in self.method.plugin.starts_from

    @property
    def everybody(self) -> tuple[BoundStep, ...]:
        """Return all steps and stores in the order of the journey."""
        return (self.method, *self.steps, *self.stores)

    def describe(self) -> dict[str, Any]:
        """Return the plan as plain values, for ``plan --json`` and the report."""
        return {
            "pipeline": self.name,
            "method": self.method.label,
            "source": self.source.uri,
            "steps": [_describe(step) for step in self.steps],
            "stores": [_describe(store) for store in self.stores],
            "all_stores_must_succeed": self.all_stores_must_succeed,
            "staging": self.staging,
            "staging_reason": self.staging_reason,
        }


def make_plan(pipeline: ConfiguredPipeline) -> Plan:
    """Bind every step of *pipeline* and decide how the data travels.

    Raises what the plugins raise on construction (``UsageError``), and ``PluginBroken``.
    """
    steps = tuple(bind(step) for step in pipeline.steps)
    staging, reason = _choose_staging(pipeline.staging, steps)
    return Plan(
        name=pipeline.name,
        source=Source(method=pipeline.source.installed.name, uri=pipeline.source_uri),
        method=bind(pipeline.source),
        steps=steps,
        stores=tuple(bind(store) for store in pipeline.stores),
        observers=tuple(bind(observer) for observer in pipeline.observers),
        all_stores_must_succeed=pipeline.all_stores_must_succeed,
        staging=staging,
        staging_reason=reason,
        spool_first=pipeline.staging == "file",
        stream_only=pipeline.staging == "stream",
        definitions={store.label: definition_of(store) for store in pipeline.stores},
        secrets=pipeline.secrets,
    )


def bind(step: ConfiguredStep) -> BoundStep:
    """Make the plugin of one entry and bind it.

    Raises ``PluginBroken``, and the ``UsageError`` of a plugin that cannot work with its options here.
    """
    distribution = step.installed.distribution
    try:
        plugin = step.plugin_class(step.config)
    except ImageportError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginBroken(
            f"plugin '{step.label}' of {distribution} cannot be made: {type(error).__name__}: {error}",
            hint=f"this looks like a defect of {distribution}: report it to its authors",
        ) from error
    return BoundStep.bind(step.label, distribution, plugin, is_store=step.role == "store")


def _choose_staging(asked: str, steps: Sequence[BoundStep]) -> tuple[Literal["file", "stream"], str]:
    if asked == "file":
        return "file", "the pipeline asks for it"
    if always := [step.label for step in steps if step.plugin.reads == "file"]:
        return "file", f"{', '.join(always)} needs a file"
    if sometimes := [step.label for step in steps if step.plugin.reads == "either"]:
        if asked == "stream":
            return (
                "stream",
                f"the pipeline asks for it; {', '.join(sometimes)} fails on data that needs a file",
            )
        return "stream", f"a file is written only where {', '.join(sometimes)} meets data that needs one"
    return "stream", "every step can stream"


def _describe(step: BoundStep) -> dict[str, Any]:
    return {"label": step.label, "plugin": type(step.plugin).__name__, "distribution": step.distribution}


def definition_of(store: ConfiguredStep) -> dict[str, Any] | None:
    """Return what it takes to open this store again from another command: ``use`` and ``with``.

    Options come from the checked model, so that paths are absolute; those that were written as references to the
    environment or a file stay references. None when a secret stands in the YAML itself: it is not kept anywhere.
    """
    written: Any = store.file.data
    for key in store.key_path:
        written = written[key]
    written = written.get("with", {}) if isinstance(written, dict) else {}
    options = {}
    for name, value in store.config.model_dump(mode="json").items():
        if name in written and _has_reference(written[name]):
            options[name] = written[name]
        elif _holds_secret(getattr(store.config, name)):
            return None
        else:
            options[name] = value
    return {"use": store.installed.name, "with": options}


def _has_reference(written: Any) -> bool:
    if isinstance(written, dict):
        return any(_has_reference(value) for value in written.values())
    if isinstance(written, list):
        return any(_has_reference(value) for value in written)
    return isinstance(written, str) and ("{env." in written or "{file." in written)


def _holds_secret(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(_holds_secret(item) for item in value.values())
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(_holds_secret(item) for item in value)
    return isinstance(value, (SecretStr, SecretBytes))
