"""A pipeline file, read and checked as a whole: all mistakes are reported at once, with their positions."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import ValidationError

from imageport.configuration import checks
from imageport.configuration.configure import configure
from imageport.configuration.entries import Pipeline, SourceEntry, StepEntry
from imageport.configuration.optionerrors import add_unreported, model_problems
from imageport.configuration.resolution import ConfiguredStep, labels_of, resolve_entries
from imageport.configuration.site import Site
from imageport.configuration.templating import DeferredVariables, Variables, confidential, expand_tree
from imageport.configuration.yamlfile import YamlFile
from imageport.errors import PipelineInvalid, Problem
from imageport.plugins.registry import PluginRegistry
from imageport.plugins.roles import Role
from imageport.plugins.secret_options import secret_options
from imageport.redaction import redact_problems
from imageport.text import did_you_mean

__all__ = [
    "ConfiguredPipeline",
    "ConfiguredStep",
    "Pipeline",
    "SourceEntry",
    "StepEntry",
    "load_pipeline",
]

#: Stands in for the source where a pipeline is only looked at. The domain is reserved by RFC 2606.
PLACEHOLDER_SOURCE = "https://source.invalid/image"


@dataclass
class ConfiguredPipeline:
    """A pipeline whose plugins exist and whose options are valid; nothing is instantiated yet.

    ``secrets`` are the values that came from the environment or from files, those of secret options, and the
    credentials and the query in the url of the source; they are kept out of messages.
    """

    name: str
    path: str
    source: ConfiguredStep
    source_uri: str | None
    steps: list[ConfiguredStep]
    stores: list[ConfiguredStep]
    observers: list[ConfiguredStep]
    all_stores_must_succeed: bool
    staging: Literal["auto", "file", "stream"]
    trust: Literal["signed"] | None
    secrets: frozenset[str] = field(repr=False)


def load_pipeline(
    path: str | Path,
    *,
    site: Site,
    registry: PluginRegistry,
    source_uri: str | None = None,
    variables: Mapping[str, str] = MappingProxyType({}),
    require_source: bool = False,
    more_stores: Collection[str] = (),
) -> ConfiguredPipeline:
    """Read the pipeline at *path* and check everything that can be checked without running it.

    *source_uri* comes before ``source.uri`` of the file. Without both, variables such as ``{source.dir}`` are a
    mistake with *require_source*, else they get a placeholder. *more_stores* are ids of further stores of the site
    file. Raises ``PipelineInvalid`` with every mistake, sorted by position.
    """
    file = YamlFile.load(path)
    names = Variables(None, variables, _defaults(file.data), os.environ)
    problems: list[Problem] = []
    uri = _source_uri(file, source_uri, names, problems)
    names.source_uri = uri if uri is not None or require_source else PLACEHOLDER_SOURCE
    tree = _expanded(file, names, problems)
    problems += _unused(file, names)
    lasting = DeferredVariables(names.source_uri, variables, names.defaults, os.environ)
    file = replace(file, data=_expanded(file, lasting, []))

    pipeline = _validated(file, tree, problems)
    roles = _configured(file, tree, site, registry, more_stores=more_stores, problems=problems)
    problems += _contradictions(file, tree, site, roles)

    written = (
        secret for entries in roles.values() for entry in entries for secret in secret_options(entry.config)
    )
    secrets = frozenset({*names.secrets, *site.secrets, *confidential(uri or ""), *written})
    if problems or pipeline is None:
        raise PipelineInvalid(sorted(redact_problems(problems, secrets)))
    return ConfiguredPipeline(
        name=pipeline.name,
        path=file.path,
        source=roles["source"][0],
        source_uri=uri,
        steps=roles["step"],
        stores=roles["store"],
        observers=roles["observer"],
        all_stores_must_succeed=pipeline.all_stores_must_succeed,
        staging=pipeline.staging,
        trust=pipeline.trust or site.trust,
        secrets=secrets,
    )


def _validated(file: YamlFile, tree: Mapping[str, Any], problems: list[Problem]) -> Pipeline | None:
    try:
        return Pipeline.model_validate(tree)
    except ValidationError as error:
        add_unreported(problems, model_problems(file, error, Pipeline))
        return None


def _configured(
    file: YamlFile,
    tree: Mapping[str, Any],
    site: Site,
    registry: PluginRegistry,
    *,
    more_stores: Collection[str],
    problems: list[Problem],
) -> dict[Role, list[ConfiguredStep]]:
    """Return the entries of *tree*, and those of *site* that it uses, with their plugins, by role."""
    resolved = resolve_entries(file, tree, site, problems, more_stores)
    labels = labels_of(resolved, problems)
    roles: dict[Role, list[ConfiguredStep]] = {"source": [], "step": [], "store": [], "observer": []}
    for entry, label in zip(resolved, labels, strict=True):
        step = configure(entry, label, registry, problems)
        if step is not None:
            roles[step.role].append(step)
    return roles


def _contradictions(
    file: YamlFile, tree: Mapping[str, Any], site: Site, roles: Mapping[Role, Sequence[ConfiguredStep]]
) -> Iterator[Problem]:
    steps, stores = roles["step"], roles["store"]
    for source in roles["source"]:
        yield from checks.source_problems(source, file, site)
        yield from checks.trust_problems(tree.get("trust") == "signed", source, steps, file, site)
    yield from checks.order_problems(steps)
    yield from checks.staging_problems(steps, stores, tree.get("staging", "auto"), file, site)
    yield from checks.store_problems(stores, file)
    yield from checks.scratch_problems(stores, site.staging.directory)
    yield from checks.binary_problems(step for each in roles.values() for step in each)


def _defaults(data: Mapping[str, Any]) -> dict[str, str]:
    declared = data.get("vars")
    declared = declared if isinstance(declared, dict) else {}
    return {name: value for name, value in declared.items() if isinstance(value, str)}


def _source_uri(file: YamlFile, given: str | None, names: Variables, problems: list[Problem]) -> str | None:
    source = file.data.get("source")
    if given is not None or not isinstance(source, dict):
        return given
    uri = expand_tree(file, source.get("uri"), names, problems, ("source", "uri"))
    return uri if isinstance(uri, str) else None


def _expanded(file: YamlFile, names: Variables, problems: list[Problem]) -> dict[str, Any]:
    """Expand everything but ``vars`` and ``source.uri``, on which the rest depends."""
    data = dict(file.data)
    kept = {"vars": data.pop("vars")} if "vars" in data else {}
    source = data.get("source")
    if isinstance(source, dict) and "uri" in source:
        kept["source"] = source
        data["source"] = {key: value for key, value in source.items() if key != "uri"}
    tree = expand_tree(file, data, names, problems)
    if "source" in kept:
        kept["source"] = {**tree["source"], "uri": kept["source"]["uri"]}
    return {**tree, **kept}


def _unused(file: YamlFile, names: Variables) -> Iterator[Problem]:
    known = {*names.defaults, *names.used}
    for name in sorted(set(names.values) - known):
        message = f"--set {name}: no variable of this pipeline has that name{did_you_mean(name, known)}"
        yield file.problem(("vars",), message)
