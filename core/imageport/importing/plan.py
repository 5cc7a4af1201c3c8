"""Plan an import before it begins: every step bound, staging chosen."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from imageport.configuration.defaults import conversion_to
from imageport.configuration.definitions import Definition, definition_of
from imageport.configuration.pipeline import ConfiguredPipeline, ConfiguredStep
from imageport.dataplane.file_types import HEAD
from imageport.dataplane.inspection import inspect_file
from imageport.errors import ImageportError, PluginBroken, SourceRejected
from imageport.http.urls import Url, without_credentials
from imageport.plugins.binding import BoundStep
from imageport.plugins.capabilities import ImageFacts, Targets, formats_after
from imageport.redaction import redact
from imageport.text import printable
from imageport.values import ImageRecord, Source

#: A text that looks like user and password before the host of a url without scheme.
_CREDENTIALS = re.compile(r"[^/@:]+:[^@]*@")


@dataclass(frozen=True, kw_only=True)
class Terms:
    """Demands of a pipeline on its imports, and the text of its entries.

    ``staging`` is the mode that the pipeline demands. With ``trust``, nothing is published without a trusted signature
    on the image. ``plugins`` are the names of the plugins by label, ``definitions`` the data to reopen each store.
    """

    name: str
    all_stores_must_succeed: bool
    staging: str
    trust: Literal["signed"] | None = None
    plugins: Mapping[str, str] = field(default_factory=dict)
    definitions: Mapping[str, Definition | None] = field(default_factory=dict)
    secrets: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One pipeline, bound and ready to run."""

    terms: Terms
    source: Source
    method: BoundStep
    steps: tuple[BoundStep, ...]
    stores: tuple[BoundStep, ...]
    observers: tuple[BoundStep, ...]

    @property
    def name(self) -> str:
        """The name of the pipeline."""
        return self.terms.name

    @property
    def all_stores_must_succeed(self) -> bool:
        """True when the image is published in all stores or in none."""
        return self.terms.all_stores_must_succeed

    @property
    def secrets(self) -> frozenset[str]:
        """Texts that must not be shown."""
        return self.terms.secrets

    @property
    def spool_first(self) -> bool:
        """True when the bytes of the source are written to the staging directory before a step gets them."""
        return self.terms.staging == "file"

    @property
    def stream_only(self) -> bool:
        """True when no bytes may be written to the staging directory."""
        return self.terms.staging == "stream"

    @property
    def copies(self) -> bool:
        """True when the method copies an active image to further stores."""
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
    def all_steps(self) -> tuple[BoundStep, ...]:
        """All steps and stores in their order."""
        return (self.method, *self.steps, *self.stores)

    def targets(self, stores: Sequence[BoundStep], *, together: bool | None = None) -> Targets:
        """Return *stores* as the targets of an import; *together* means that all have to succeed.

        None is the demand of the pipeline.
        """
        together = self.all_stores_must_succeed if together is None else together
        return Targets(stores, together=together, conversion=conversion_to)

    def facts_before(self, record: ImageRecord, head: bytes | None = None) -> ImageFacts:
        """Return the facts that stores have to know, as far as they are known before a step gets the bytes of *record*.

        *head* is how the bytes begin, None when that is not known.
        """
        if self.copies:
            return ImageFacts.of(record.disk_format, record.size)
        return ImageFacts(formats=formats_after(self.steps, record.disk_format, head))

    def facts_of_file(self, path: Path, record: ImageRecord) -> ImageFacts:
        """Return the facts that stores have to know about the bytes of *record*, which come from the file at *path*."""
        try:
            found = inspect_file(path)
            with path.open("rb") as file:
                head = file.read(HEAD)
        except (ImageportError, OSError):
            # It is reported by the step that reads the file.
            return self.facts_before(record)
        if found.file_type is None:
            record = record.evolve(disk_format=found.disk_format)
        return self.facts_before(record, head)

    def describe(self) -> dict[str, Any]:
        """Return the plan as plain values, for ``plan --json`` and the report.

        ``staging`` is ``file`` when the bytes are written to the staging directory before the stores get them, and
        ``stream`` when they pass without touching it; ``staging_reason`` is why.
        """
        staging, reason = _choose_staging(self.terms.staging, self.steps)
        return {
            "pipeline": self.name,
            "method": self.method.label,
            "source": self.shown_source,
            "steps": [self._describe(step) for step in self.steps],
            "stores": [self._describe(store) for store in self.stores],
            "all_stores_must_succeed": self.all_stores_must_succeed,
            "staging": staging,
            "staging_reason": reason,
            "trust": self.terms.trust,
        }

    def _describe(self, step: BoundStep) -> dict[str, Any]:
        plugin = self.terms.plugins.get(step.label, step.label)
        return {"label": step.label, "plugin": plugin, "distribution": step.distribution}


def make_plan(pipeline: ConfiguredPipeline) -> Plan:
    """Bind every step of *pipeline*.

    Raises the errors of plugins on construction (``UsageError``), and ``PluginBroken``.
    """
    return Plan(
        terms=Terms(
            name=pipeline.name,
            all_stores_must_succeed=pipeline.all_stores_must_succeed,
            staging=pipeline.staging,
            trust=pipeline.trust,
            plugins={step.label: step.installed.name for step in (*pipeline.steps, *pipeline.stores)},
            definitions={store.label: definition_of(store) for store in pipeline.stores},
            secrets=pipeline.secrets,
        ),
        source=Source(method=pipeline.source.installed.name, uri=pipeline.source_uri),
        steps=tuple(bind(step) for step in pipeline.steps),
        method=bind(pipeline.source),
        stores=tuple(bind(store) for store in pipeline.stores),
        observers=tuple(bind(observer) for observer in pipeline.observers),
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
