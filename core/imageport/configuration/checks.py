"""Checks of a whole pipeline: contradictions between its entries."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from imageport.errors import Problem
from imageport.plugins.registry import hooks_of

if TYPE_CHECKING:
    from imageport.configuration.resolution import ConfiguredStep
    from imageport.configuration.site import Site
    from imageport.configuration.yamlfile import YamlFile


def source_problems(source: ConfiguredStep, file: YamlFile, site: Site) -> Iterator[Problem]:
    """Find a method that is not enabled, and steps below one that copies stored bytes as they are."""
    name = source.installed.name
    if not site.allows_method(name):
        enabled = ", ".join(site.enabled_methods or ()) or "none"
        message = (
            f"import method '{name}' is not enabled: see enabled_methods in {site.file.path} ({enabled})"
        )
        yield source.file.problem((*source.key_path, "use"), message)
    if source.plugin_class.copies and file.data.get("steps"):
        message = f"'{name}' copies the stored bytes as they are, so no steps run: remove them"
        yield file.problem(("steps",), message)


def order_problems(steps: Sequence[ConfiguredStep]) -> Iterator[Problem]:
    """Find steps in an order that the plugins rule out."""
    for upper, lower in combinations(steps, 2):
        after = lower.installed.name in upper.plugin_class.runs_after
        if after or upper.installed.name in lower.plugin_class.runs_before:
            message = f"'{upper.label}' stands before '{lower.label}': move it below"
            yield upper.file.problem(upper.key_path, message)


def staging_problems(
    steps: Iterable[ConfiguredStep],
    stores: Iterable[ConfiguredStep],
    staging: str,
    file: YamlFile,
    site: Site,
) -> Iterator[Problem]:
    """Find steps that cannot stream, and stores that have to wait, although the pipeline asks for streaming."""
    if staging != "stream":
        return
    needing = [step.label for step in steps if step.plugin_class.reads == "file"]
    if needing:
        message = f"the data cannot be streamed: {', '.join(needing)} needs a file; write 'auto' or 'file'"
        yield file.problem(("staging",), message)
    count = sum("store_write" in hooks_of(store.plugin_class) for store in stores)
    if 0 < site.limits.max_parallel_stores < count:
        message = (
            f"the data cannot be streamed to {count} stores: limits.max_parallel_stores in {site.file.path} is "
            f"{site.limits.max_parallel_stores}, and the stores that wait read a file; write 'auto' or 'file'"
        )
        yield file.problem(("staging",), message)


def trust_problems(
    demanded: bool, source: ConfiguredStep, steps: Sequence[ConfiguredStep], file: YamlFile, site: Site
) -> Iterator[Problem]:
    """Find pipelines that import unsigned images although signatures are required.

    *demanded* is true when the pipeline itself requires them, not the site file.
    """
    where = file if demanded else site.file
    if source.plugin_class.copies:
        if demanded:
            message = f"'{source.label}' copies stored bytes, which have no signature: remove this"
            yield where.problem(("trust",), message)
        return
    if demanded or site.trust:
        for step in (source, *steps):
            try:
                if step.plugin_class.requires_signature(step.config):
                    return
            except Exception as error:  # noqa: BLE001 - a stranger's plugin may raise anything
                message = f"failed in requires_signature: {type(error).__name__}: {error}"
                yield step.file.problem((*step.key_path, "use"), message)
        hints = [
            f"in '{step.label}', {step.plugin_class.signature_hint}"
            for step in (source, *steps)
            if step.plugin_class.signature_hint
        ]
        advice = ", or ".join(hints) or "add a step that verifies one"
        yield where.problem(("trust",), f"nothing in {file.path} requires a trusted signature: {advice}")


def store_problems(stores: Sequence[ConfiguredStep], file: YamlFile) -> Iterator[Problem]:
    """Find stores that write to one place, and pipelines whose stores can all only be read."""
    for first, second in combinations(stores, 2):
        same = (first.plugin_class, first.config) == (second.plugin_class, second.config)
        # Two of one label are reported already.
        if same and first.label != second.label:
            message = (
                f"'{second.label}' has the same options as '{first.label}': both would write to one place"
            )
            yield second.file.problem(second.key_path, message)
    if stores and not any("store_write" in hooks_of(store.plugin_class) for store in stores):
        yield file.problem(("stores",), "every store here is read-only: add one that can be written")


def scratch_problems(stores: Iterable[ConfiguredStep], staging: Path) -> Iterator[Problem]:
    """Find stores that keep images where scratch data is written and removed, or the other way round."""
    scratch = staging.resolve()
    for store in stores:
        for name, value in store.config:
            if isinstance(value, Path) and _is_shared(value.resolve(), scratch):
                message = (
                    f"{value} and the staging directory {staging} are not apart: "
                    "put images and scratch data into separate folders"
                )
                yield store.file.problem((*store.key_path, "with", name), message)


def _is_shared(folder: Path, scratch: Path) -> bool:
    return folder.is_relative_to(scratch) or scratch.is_relative_to(folder)


def binary_problems(steps: Iterable[ConfiguredStep]) -> Iterator[Problem]:
    """Find plugins that need a program which is not on the PATH."""
    for step in steps:
        binaries = step.plugin_class.binaries
        packages = binaries if isinstance(binaries, Mapping) else {}
        for binary in binaries:
            if shutil.which(binary) is None:
                package = f" ({packages[binary]} on Debian and Ubuntu)" if binary in packages else ""
                message = (
                    f"needs the program '{binary}', which is not on the PATH: install its package{package}"
                )
                yield step.file.problem((*step.key_path, "use"), message)
