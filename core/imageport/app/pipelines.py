"""Describe pipelines and stores as plain values, and find the mistakes in them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from imageport.app.forecast import deadlines, forecast
from imageport.app.housekeeping import maintenance_context
from imageport.app.resources import Resources
from imageport.configuration.configure import configure_stores
from imageport.configuration.pipeline import ConfiguredPipeline, load_pipeline
from imageport.configuration.resolution import ConfiguredStep
from imageport.errors import ImageportError, PipelineInvalid, Problem, StoreFailed
from imageport.importing.plan import Plan, make_plan
from imageport.plugins.binding import BoundStep
from imageport.plugins.capabilities import Targets, capabilities_of
from imageport.plugins.lifetime import close_all
from imageport.plugins.registry import hooks_of
from imageport.redaction import redact, redact_tree


def load(resources: Resources, path: str | Path, **options: Any) -> ConfiguredPipeline:
    """Read the pipeline at *path* for the site; *options* are those of ``load_pipeline``."""
    configured = load_pipeline(path, site=resources.site, registry=resources.registry, **options)
    resources.hold(configured)
    return configured


def plan_of(pipeline: ConfiguredPipeline) -> Plan:
    """Make the plugins of *pipeline*. Their errors do not contain its secrets."""
    try:
        return make_plan(pipeline)
    except ImageportError as error:
        error.message = redact(error.message, pipeline.secrets)
        error.hint = redact(error.hint, pipeline.secrets)
        raise


def describe_plan(
    resources: Resources, path: str | Path, source: str | None, variables: Mapping[str, str]
) -> dict[str, Any]:
    """Return the plan of the pipeline, without its secrets. The stores are asked for their findings."""
    configured = load(resources, path, source_uri=source, variables=variables)
    plan = plan_of(configured)
    limits = resources.site.limits
    # All that refuse the image are shown, and not only the first.
    writable = [store for store in plan.stores if "store_write" in store.answers]
    targets = plan.targets(writable, together=False)
    try:
        with maintenance_context(resources.site) as ctx, suppress(StoreFailed):
            targets.examine(ctx)
        described = {
            **plan.describe(),
            **forecast(plan, resources.site, targets),
            "method": _describe(configured.source),
            "steps": [_describe(step) for step in configured.steps],
            "stores": [
                _describe(entry) | _describe_target(store, targets)
                for entry, store in zip(configured.stores, plan.stores, strict=True)
            ],
            "observers": [_describe(observer) for observer in configured.observers],
            "refusal": _refusal(targets.refusal(together=plan.all_stores_must_succeed)),
            "deadlines": deadlines(limits),
            "limits": limits.model_dump(mode="json"),
        }
    finally:
        close_all((*plan.all_steps, *plan.observers))
    found: dict[str, Any] = redact_tree(described, configured.secrets)
    return found


def _describe_target(store: BoundStep, targets: Targets) -> dict[str, Any]:
    reason = targets.refused.get(store.label)
    return {
        "capabilities": capabilities_of(store).as_dict(),
        "findings": [asdict(finding) for finding in targets.findings.get(store.label, ())],
        "refused": None if reason is None else {"message": reason.message, "hint": reason.hint},
    }


def _refusal(error: ImageportError | None) -> dict[str, Any] | None:
    if error is None:
        return None
    return {
        "exit_code": int(error.exit_code),
        "store": error.store,
        "message": error.message,
        "hint": error.hint,
    }


def problems_of(resources: Resources, path: str | Path) -> list[Problem]:
    """Return the mistakes in a pipeline, without its secrets."""
    try:
        plan_of(load(resources, path))
    except PipelineInvalid as error:
        return list(error.problems)
    except ImageportError as error:
        # A plugin that finds its options in conflict raises when it is made; it knows no position.
        message = ": ".join(filter(None, (error.where(), error.message, error.hint)))
        return [Problem(str(path), 1, 1, "", message)]
    return []


def describe_stores(resources: Resources, path: str | Path | None) -> list[dict[str, Any]]:
    """Return the stores of the site, or of the pipeline at *path*, without secrets."""
    site = resources.site
    if path is None:
        stores, secrets = configure_stores(site, resources.registry), site.secrets
    else:
        configured = load(resources, path)
        stores, secrets = configured.stores, configured.secrets
    described = [_describe_store(store, site.default_store) for store in stores]
    found: list[dict[str, Any]] = redact_tree(described, secrets)
    return found


def _describe(step: ConfiguredStep) -> dict[str, Any]:
    return {
        "label": step.label,
        "plugin": step.installed.name,
        "distribution": step.installed.distribution,
        "reads": step.plugin_class.reads,
        "options": step.config.model_dump(mode="json"),
    }


def _describe_store(store: ConfiguredStep, default: str | None) -> dict[str, Any]:
    hooks = hooks_of(store.plugin_class)
    return {
        "id": store.label,
        "plugin": store.installed.name,
        "distribution": store.installed.distribution,
        "read_only": "store_write" not in hooks,
        "default": store.label == default,
        "hooks": list(hooks),
        "capabilities": store.plugin_class.capabilities.as_dict(),
        "options": store.config.model_dump(mode="json"),
    }
