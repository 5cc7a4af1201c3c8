"""Check that everything is there that imports need: ``imageport doctor``."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imageport.app.diagnosis import Diagnosis, diagnose
from imageport.app.housekeeping import Housekeeping, maintenance_context
from imageport.catalog import Catalog
from imageport.configuration.configure import configure_observers, configure_stores
from imageport.configuration.pipeline import load_pipeline
from imageport.configuration.site import Site
from imageport.configuration.site_file import load_site
from imageport.errors import ImageportError, PipelineInvalid, PluginBroken
from imageport.limits import format_size
from imageport.plugin import Plugin
from imageport.plugins.registry import PluginRegistry

#: Seconds that a program may take to print its version.
_PATIENCE = 10


def examine(config: str | None, pipeline: str | Path | None = None) -> Iterator[Diagnosis]:
    """Look at Python, the site file (*config* names it), plugins, programs, staging, stores, observers and catalog.

    The stores and observers are those of the site file, and of the file *pipeline* if there is one.
    """
    yield Diagnosis(
        "python", "ok", f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    try:
        site = load_site(config, environ=os.environ, cwd=Path.cwd())
    except PipelineInvalid as error:
        for problem in error.problems:
            yield Diagnosis("site file", "error", str(problem), "correct the file")
        yield from _plugins(PluginRegistry.installed())
        return
    yield Diagnosis("site file", "ok", f"{site.file.path}")
    registry = PluginRegistry.installed(disabled=site.disabled_plugins)
    yield from _plugins(registry)
    yield _staging(site)
    yield from _configured(site, registry)
    if pipeline is not None:
        yield from _of_pipeline(site, registry, pipeline)
    yield from _catalog(site, registry)


def _plugins(registry: PluginRegistry) -> Iterator[Diagnosis]:
    working: list[type[Plugin[Any]]] = []
    for installed in registry:
        try:
            working.append(installed.load())
        except PluginBroken as error:
            yield Diagnosis(f"plugin {installed.name}", "error", error.message, error.hint)
    yield Diagnosis("plugins", "ok", f"{len(working)} can be used")
    for binary in sorted({binary for plugin_class in working for binary in plugin_class.binaries}):
        yield _program(binary)


def _program(name: str) -> Diagnosis:
    path = shutil.which(name)
    if path is None:
        return Diagnosis(
            f"program {name}", "error", "not on the PATH", f"install the package that has {name}"
        )
    try:
        done = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return Diagnosis(f"program {name}", "error", f"{path} does not run: {error}", f"install {name} again")
    return Diagnosis(f"program {name}", "ok", f"{path}, {done.stdout.partition(chr(10))[0]}")


def _staging(site: Site) -> Diagnosis:
    directory = site.staging.directory
    try:
        return _staging_in(directory)
    except OSError as error:
        message = f"{directory} cannot be used: {error.strerror}"
        return Diagnosis("staging", "error", message, "correct it, or set staging.directory in the site file")


def _staging_in(directory: Path) -> Diagnosis:
    if not _is_writable(directory):
        return Diagnosis(
            "staging",
            "error",
            f"{directory} cannot be written",
            "make it writable, or set staging.directory in the site file",
        )
    return Diagnosis("staging", "ok", f"{directory}, {_free(directory)} free")


def _configured(site: Site, registry: PluginRegistry) -> Iterator[Diagnosis]:
    for subject, configure in (("stores", configure_stores), ("observers", configure_observers)):
        try:
            entries = configure(site, registry)
        except PipelineInvalid as error:
            for problem in error.problems:
                yield Diagnosis(subject, "error", str(problem), "correct the site file")
            continue
        with maintenance_context(site) as ctx:
            yield from diagnose(entries, ctx, site.secrets)


def _of_pipeline(site: Site, registry: PluginRegistry, path: str | Path) -> Iterator[Diagnosis]:
    try:
        pipeline = load_pipeline(path, site=site, registry=registry)
    except PipelineInvalid as error:
        for problem in error.problems:
            yield Diagnosis("pipeline", "error", str(problem), "correct the file")
        return
    with maintenance_context(site) as ctx:
        yield from diagnose((*pipeline.stores, *pipeline.observers), ctx, pipeline.secrets)


def _catalog(site: Site, registry: PluginRegistry) -> Iterator[Diagnosis]:
    try:
        catalog = Catalog(site.catalog)
    except ImageportError as error:
        yield Diagnosis("catalog", "error", error.message, error.hint)
        return
    try:
        yield Diagnosis("catalog", "ok", f"reachable, images: {catalog.count_images()}")
        left = list(Housekeeping(site, catalog, registry, dry_run=True).leftovers())
        owed = [leftover for leftover in left if leftover.kind != "task"]
        if owed:
            freed = format_size(sum(leftover.freed for leftover in owed))
            message = f"left by dead imports: {len(owed)}, with {freed} of staging"
            yield Diagnosis("leftovers", "error", message, "run 'imageport gc'")
        else:
            yield Diagnosis("leftovers", "ok", "none")
    except ImageportError as error:
        yield Diagnosis("catalog", "error", error.message, error.hint)
    finally:
        catalog.close()


def _is_writable(directory: Path) -> bool:
    """Return whether *directory* can be written, or made where it is missing."""
    present = _present(directory)
    return present.is_dir() and os.access(present, os.W_OK | os.X_OK)


def _free(directory: Path) -> str:
    return format_size(shutil.disk_usage(_present(directory)).free)


def _present(path: Path) -> Path:
    return next(parent for parent in (path, *path.parents) if parent.exists())
