"""``imageport plan``: the plan of an import."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

import typer

from imageport.cli.capabilities import demands
from imageport.cli.options import Json, PipelineFile, PluginFiles, Settings, SourceUri
from imageport.cli.output import option_text, pairs, print_fields, print_json, print_line

if TYPE_CHECKING:
    from imageport.app import Imageport


def plan(  # noqa: PLR0917 - the options of a command are its parameters
    ctx: typer.Context,
    pipeline: PipelineFile,
    source: SourceUri = None,
    settings: Settings = None,
    plugins: PluginFiles = None,
    json: Json = False,
) -> None:
    """Show the plan of an import and the scratch space that it needs; nothing is changed.

    Steps, options, stores with their capabilities and findings, staging, the scratch data and whether it fits now, the
    part that is expected to be slowest, and limits. Stores are asked whether they are ready, and digests are measured
    for some milliseconds; nothing is fetched. The exit code is that of an import that its stores would refuse now.
    """
    imageport: Imageport = ctx.obj
    for file in plugins or ():
        imageport.add_plugin_file(file)
    # Standard output is for the plan, whatever a plugin prints.
    with redirect_stdout(sys.stderr):
        described = imageport.plan(pipeline, source, variables=pairs("--set", settings or ()))
    if json:
        print_json(described)
    else:
        _show(described)
    if described["refusal"] is not None:
        raise typer.Exit(described["refusal"]["exit_code"])


def _show(plan: dict[str, Any]) -> None:
    print_line(f"pipeline {plan['pipeline']}")
    print_line(f"source: {plan['source'] or '(none given)'}")
    _show_steps([plan["method"]])
    print_line("steps, in this order:" if plan["steps"] else "steps: none")
    _show_steps(plan["steps"])
    together = "all of them or none" if plan["all_stores_must_succeed"] else "those that succeed"
    print_line(f"stores, written side by side, {together}:")
    for store in plan["stores"]:
        _show_steps([store])
        _show_target(store)
    if plan["observers"]:
        print_line("observers:")
        _show_steps(plan["observers"])
    print_line(f"staging: {plan['staging']}, because {plan['staging_reason']}")
    _show_scratch(plan["scratch"])
    _show_refusal(plan["refusal"])
    _show_bottleneck(plan["bottleneck"])
    print_line("deadlines:")
    _show_deadlines(plan["deadlines"], "  ")
    print_line("limits:")
    print_fields({f"  {name}": value for name, value in _readable(plan["limits"])})


def _show_target(store: dict[str, Any]) -> None:
    for line in demands(store["capabilities"]):
        print_line(f"      {line}")
    for finding in store["findings"]:
        hint = f"; {finding['hint']}" if finding["hint"] else ""
        print_line(f"      {finding['severity']}: {finding['message']}{hint}")
    if store["refused"] is not None:
        print_line(f"      REFUSES THE IMAGE: {store['refused']['message']}; {store['refused']['hint']}")


def _show_refusal(refusal: dict[str, Any] | None) -> None:
    if refusal is not None:
        whose = "" if refusal["store"] is None else f"store '{refusal['store']}': "
        print_line(f"THE IMPORT WOULD BE REFUSED: {whose}{refusal['message']}; {refusal['hint']}")


def _show_scratch(scratch: dict[str, Any]) -> None:
    from imageport.limits import format_size

    if not scratch["needs"]:
        print_line("scratch data: none")
        return
    print_line(f"scratch data, in {scratch['directory']}:")
    for need in scratch["needs"]:
        whose = "" if need["step"] is None else f"{need['step']}: "
        size = "" if need["size"] is None else f", {format_size(need['size'])}"
        print_line(f"  {whose}{need['what']}{size}{'' if need['certain'] else ' (if the data needs it)'}")
    free = (
        "the free space is unknown" if scratch["free"] is None else f"{format_size(scratch['free'])} are free"
    )
    if scratch["fits"] is None:
        print_line(f"  {free}")
    else:
        fits = "it fits" if scratch["fits"] else "IT MAY NOT FIT (zeros take no space)"
        print_line(f"  at most {format_size(scratch['at_most'])} in all, and {free}: {fits}")


def _show_bottleneck(bottleneck: dict[str, Any]) -> None:
    from imageport.limits import format_size

    print_line(
        "expected bottleneck: the digests, as measured just now, unless the source, a step or a store is slower"
    )
    digests, processors = bottleneck["digests"], bottleneck["processors"]
    speeds = {f"  {name}": f"{format_size(rate)}/s" for name, rate in digests.items()}
    if len(digests) > 1:
        on = f"{processors} processor{'' if processors == 1 else 's'}"
        speeds["  together"] = f"{format_size(bottleneck['rate'])}/s on {on}"
    print_fields(speeds)


def _show_deadlines(tree: dict[str, Any], indent: str) -> None:
    from imageport.limits import format_size

    for name, value in tree.items():
        words = name.replace("_", " ")
        if isinstance(value, dict):
            print_line(f"{indent}{words}:")
            _show_deadlines(value, indent + "  ")
        elif value is None:
            print_line(f"{indent}{words}: no deadline")
        else:
            print_line(
                f"{indent}{words}: {f'{format_size(value)}/s' if name == 'minimum_rate' else f'{value:g} s'}"
            )


def _show_steps(steps: list[dict[str, Any]]) -> None:
    for step in steps:
        plugin = "" if step["plugin"] == step["label"] else f"{step['plugin']} of "
        print_line(f"  {step['label']}  ({plugin}{step['distribution']})")
        print_fields({f"      {name}": option_text(value) for name, value in step["options"].items()})


def _readable(limits: Mapping[str, Any]) -> Iterable[tuple[str, object]]:
    from imageport.limits import Limits, format_size, parse_size

    for name, field in Limits.model_fields.items():
        is_size = any(getattr(item, "func", None) is parse_size for item in field.metadata)
        yield name, format_size(limits[name]) if is_size else limits[name]
