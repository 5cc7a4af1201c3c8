"""One entry of a pipeline or site file, with its plugin found and its options checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from imageport.configuration.checks import scratch_problems
from imageport.configuration.optionerrors import add_unreported, model_problems
from imageport.configuration.paths import resolve_paths
from imageport.configuration.resolution import (
    ConfiguredStep,
    ResolvedEntry,
    labels_of,
    shared_observers,
    shared_stores,
)
from imageport.errors import PipelineInvalid, Problem, UsageError
from imageport.plugin import Plugin, PluginConfig
from imageport.plugins.registry import PluginRegistry, hooks_of
from imageport.plugins.roles import SECTIONS, Role, fits
from imageport.redaction import redact_problems

if TYPE_CHECKING:
    from imageport.configuration.site import Site


def configure(
    resolved: ResolvedEntry, label: str, registry: PluginRegistry, problems: list[Problem]
) -> ConfiguredStep | None:
    """Find the plugin of *resolved* and check its options; return None after adding to *problems*."""
    use, file, key_path = resolved.use, resolved.file, resolved.key_path
    try:
        installed = registry.find(use)
        plugin_class = installed.load()
    except UsageError as error:
        problems.append(file.problem((*key_path, "use"), f"{error.message}: {error.hint}"))
        return None
    hooks = frozenset(hooks_of(plugin_class))
    if not fits(hooks, resolved.role):
        problems.append(file.problem((*key_path, "use"), _misplaced(use, hooks, resolved.role)))
        return None
    config = _options(resolved, plugin_class, problems)
    if config is None:
        return None
    return ConfiguredStep(
        label, resolved.role, installed, plugin_class, config, key_path, file, resolved.folder
    )


def configure_stores(site: Site, registry: PluginRegistry) -> list[ConfiguredStep]:
    """Return the stores of *site*, ready to be opened. Raises ``PipelineInvalid`` with every mistake."""
    problems: list[Problem] = []
    resolved = zip(shared_stores(site), site.store_ids(), strict=True)
    configured = [configure(entry, label, registry, problems) for entry, label in resolved]
    stores = [store for store in configured if store is not None]
    problems += scratch_problems(stores, site.staging.directory)
    if problems:
        raise PipelineInvalid(sorted(redact_problems(problems, site.secrets)))
    return stores


def configure_store(site: Site, label: str, registry: PluginRegistry) -> ConfiguredStep | None:
    """Return the store of *site* with that id, or None without one. Raises ``PipelineInvalid`` with every mistake."""
    problems: list[Problem] = []
    named = zip(shared_stores(site), site.store_ids(), strict=True)
    found = next(
        (configure(entry, label, registry, problems) for entry, name in named if name == label), None
    )
    if problems:
        raise PipelineInvalid(sorted(redact_problems(problems, site.secrets)))
    return found


def configure_observers(site: Site, registry: PluginRegistry) -> list[ConfiguredStep]:
    """Return the observers of *site*, ready to be made. Raises ``PipelineInvalid`` with every mistake."""
    problems: list[Problem] = []
    resolved = shared_observers(site)
    labels = labels_of(resolved, problems)
    configured = [
        configure(entry, label, registry, problems) for entry, label in zip(resolved, labels, strict=True)
    ]
    if problems:
        raise PipelineInvalid(sorted(redact_problems(problems, site.secrets)))
    return [observer for observer in configured if observer is not None]


def _misplaced(use: str, hooks: frozenset[str], role: Role) -> str:
    sections = [section for other, section in SECTIONS.items() if fits(hooks, other)]
    advice = f"it belongs under '{sections[0]}'" if sections else "it has no hook that imports call"
    return f"plugin '{use}' cannot stand under '{SECTIONS[role]}': {advice}"


def _options(
    resolved: ResolvedEntry, plugin_class: type[Plugin[Any]], problems: list[Problem]
) -> PluginConfig | None:
    file, key_path = resolved.file, (*resolved.key_path, "with")
    model = plugin_class.config_model
    try:
        return model.model_validate(resolve_paths(resolved.options, model, resolved.folder))
    except ValidationError as error:
        add_unreported(problems, model_problems(file, error, model, key_path))
    except Exception as error:  # noqa: BLE001 - a stranger's validator may raise anything
        message = f"plugin '{resolved.use}' failed to check its options: {type(error).__name__}: {error}"
        problems.append(file.problem(key_path, message))
    return None
