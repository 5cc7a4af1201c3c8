"""``imageport gc``: clean up after imports that died."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from imageport.cli.options import Json
from imageport.cli.output import print_json, print_line

if TYPE_CHECKING:
    from imageport.app import Imageport, Leftover

_DONE = {
    "import": "rolled back the dead import {name} of image {image_id}",
    "copy": "removed the unpublished copy {name}",
    "staging": "removed {name} ({size}, {age} old)",
    "image": "queued image {name} again, whose data in staging is lost",
    "task": "forgot the expired task {name}",
}
_TO_DO = {
    "import": "would roll back the dead import {name} of image {image_id}",
    "copy": "would remove the unpublished copy {name}",
    "staging": "would remove {name} ({size}, {age} old)",
    "image": "would queue image {name} again, whose data in staging is lost",
    "task": "would forget the expired task {name}",
}
#: Differences between catalog and stores, about which nothing is done.
_REPORTS = {
    "unknown": "store {store} has a copy that this catalog does not know: {name}{size}",
    "missing": "missing: {name}: {error}",
    "store": "store {store} was not examined: {error}",
}

#: Unknown copies of one store that are shown, where only a summary is asked for.
_SHOWN = 10


def gc(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print the actions.")] = False,
    compare: Annotated[
        bool, typer.Option(help="Compare the catalog with the stores, which takes as long as listing these.")
    ] = True,
    json: Json = False,
) -> None:
    """Roll back imports whose process died, and remove their leftovers in staging and in stores.

    Removes staged files of images that are no longer staged or being imported, and of unknown images. An image whose
    staging was killed, or whose staged data is lost, is queued again. It is safe to run this at any time, from a timer
    for instance.

    Then the copies in the catalog are compared with those in the stores: copies that are missing, and copies that the
    catalog does not know, are reported. Those belong to another catalog maybe, so nothing is done about them.
    """
    from imageport.errors import ExitCode
    from imageport.limits import format_size

    imageport: Imageport = ctx.obj
    found: list[Leftover] = []
    unknown: Counter[str | None] = Counter()
    for leftover in imageport.clean_up(dry_run=dry_run, compare=compare):
        found.append(leftover)
        if leftover.kind == "unknown":
            unknown[leftover.store] += 1
        if not json and (dry_run or unknown[leftover.store] <= _SHOWN or leftover.kind != "unknown"):
            print_line(_line(leftover, dry_run=dry_run))
    freed = sum(leftover.freed for leftover in found)
    if json:
        print_json(
            {"dry_run": dry_run, "findings": [asdict(leftover) for leftover in found], "bytes_freed": freed}
        )
    elif found:
        for store, count in unknown.items():
            if count > _SHOWN and not dry_run:
                print_line(f"store {store} has {count} unknown copies in all: --dry-run lists them")
        print_line(f"{format_size(freed)} of staging {'would be' if dry_run else 'were'} freed")
    else:
        print_line("nothing to clean up")
    failed = [leftover for leftover in found if leftover.error]
    if any(leftover.kind not in _REPORTS for leftover in failed):
        typer.echo("check what is left behind, then run 'imageport gc' again", err=True)
    if failed:
        raise typer.Exit(ExitCode.STORE_FAILED)


def _line(leftover: Leftover, *, dry_run: bool) -> str:
    from imageport.limits import format_size

    if leftover.kind in _REPORTS:
        size = "" if leftover.size is None else f" ({format_size(leftover.size)})"
        return _REPORTS[leftover.kind].format(
            name=leftover.name, store=leftover.store or leftover.name, size=size, error=leftover.error
        )
    if leftover.error:
        return f"left behind: {leftover.name}: {leftover.error}"
    text = (_TO_DO if dry_run else _DONE)[leftover.kind]
    return text.format(
        name=leftover.name,
        image_id=leftover.image_id,
        size=format_size(leftover.freed),
        age=_duration(leftover.age or 0),
    )


def _duration(seconds: int) -> str:
    for name, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {name}"
    return f"{seconds} s"
