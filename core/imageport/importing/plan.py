"""Plan an import before it does anything: every step bound, staging chosen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from imageport.configuration.pipeline import ConfiguredPipeline, ConfiguredStep
from imageport.errors import ImageportError, PluginBroken, SourceRejected
from imageport.http.urls import Url, without_credentials
from imageport.importing.definitions import Definition, definition_of
from imageport.plugins.binding import BoundStep
from imageport.redaction import redact
from imageport.text import printable
from imageport.values import Source

#: What looks like user and password before the host of a url without scheme.
_CREDENTIALS = re.compile(r"[^/@:]+:[^@]*@")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One pipeline, bound and ready to run.

    ``staging`` is ``file`` when the bytes are written to the staging directory before the stores see them, and
    ``stream`` when they pass without touching it; ``staging_reason`` says why. ``plugins`` are the names of the
    plugins by label. With ``trust``, nothing is published unless a trusted signer vouches for the image.
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
    definitions: dict[str, Definition | None]
    plugins: Mapping[str, str] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()
    trust: Literal["signed"] | None = None

    @property
    def copies(self) -> bool:
        """Whether the method copies an active image to further stores."""
        return self.method.plugin.copies

    @property
    def shown_source(self) -> str | None:
        """The source for people and records: a url without user, password and query, or a path."""
        shown = self.source.uri
        if shown and ("://" in shown or _CREDENTIALS.match(shown)):
            try:
                shown = Url.parse(shown).shown
            except SourceRejected:
                shown = without_credentials(shown)
        return shown and printable(redact(shown, self.secrets))

    @property
    def everybody(self) -> tuple[BoundStep, ...]:
        """Return all steps and stores in the order of the journey."""
        return (self.method, *self.steps, *self.stores)

    def describe(self) -> dict[str, Any]:
        """Return the plan as plain values, for ``plan --json`` and the report."""
        return {
            "pipeline": self.name,
            "method": self.method.label,
            "source": self.shown_source,
            "steps": [self._describe(step) for step in self.steps],
            "stores": [self._describe(store) for store in self.stores],
            "all_stores_must_succeed": self.all_stores_must_succeed,
            "staging": self.staging,
            "staging_reason": self.staging_reason,
            "trust": self.trust,
        }

    def _describe(self, step: BoundStep) -> dict[str, Any]:
        plugin = self.plugins.get(step.label, step.label)
        return {"label": step.label, "plugin": plugin, "distribution": step.distribution}


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
        trust=pipeline.trust,
        spool_first=pipeline.staging == "file",
        stream_only=pipeline.staging == "stream",
        definitions={store.label: definition_of(store) for store in pipeline.stores},
        plugins={step.label: step.installed.name for step in (*pipeline.steps, *pipeline.stores)},
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
            return "stream", f"the pipeline asks for it; data that needs a file fails in {_either(sometimes)}"
        return "stream", f"a file is written only for data that needs one in {_either(sometimes)}"
    return "stream", "every step can stream"


def _either(labels: Sequence[str]) -> str:
    return " or ".join(labels)
