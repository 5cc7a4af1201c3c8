"""``imageport gc``: clean up after imports that died."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from imageport.cli.options import Json
from imageport.cli.output import print_json, print_line
from imageport.cli.session import Session

if TYPE_CHECKING:
    from imageport.app.housekeeping import Finding

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


def gc(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")] = False,
    json: Json = False,
) -> None:
    """Roll back imports whose process died, and remove what they left in staging and in stores.

    From staging goes what belongs to an image that is neither staged nor imported just now, or to none; an image
    whose staging was killed, or whose staged data is lost, is queued again. It is safe to run this at any time, from a
    timer for instance.
    """
    from imageport.app.housekeeping import Housekeeping
    from imageport.errors import ExitCode
    from imageport.limits import format_size

    session: Session = ctx.obj
    housekeeping = Housekeeping(session.site, session.catalog, session.registry, dry_run=dry_run)
    findings: list[Finding] = []
    for finding in housekeeping.findings():
        findings.append(finding)
        if not json:
            print_line(_line(finding, dry_run=dry_run))
    freed = sum(finding.freed for finding in findings)
    if json:
        print_json(
            {"dry_run": dry_run, "findings": [asdict(finding) for finding in findings], "bytes_freed": freed}
        )
    elif findings:
        print_line(f"{format_size(freed)} of staging {'would be' if dry_run else 'were'} freed")
    else:
        print_line("nothing to clean up")
    if any(finding.error for finding in findings):
        raise typer.Exit(ExitCode.STORE_FAILED)


def _line(finding: Finding, *, dry_run: bool) -> str:
    from imageport.limits import format_size

    if finding.error:
        return f"left behind: {finding.name}: {finding.error}"
    text = (_TO_DO if dry_run else _DONE)[finding.kind]
    return text.format(
        name=finding.name,
        image_id=finding.image_id,
        size=format_size(finding.freed),
        age=_duration(finding.age or 0),
    )


def _duration(seconds: int) -> str:
    for name, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {name}"
    return f"{seconds} s"
