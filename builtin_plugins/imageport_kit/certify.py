"""``imageport plugins certify``: does an installed plugin keep the contract?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imageport.commands import Json, print_json, print_line

if TYPE_CHECKING:
    from imageport.testing import Clause

#: How each verdict is shown.
_MARKS = {"passed": "ok    ", "failed": "FAILED"}


def certify(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of an installed plugin or command.")],
    *,
    options: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="YAML file with the options of the plugin, as under 'with:'."),
    ] = None,
    image: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="An image that the step accepts; by default a small raw disk."),
    ] = None,
    disk_format: Annotated[str, typer.Option(help="The disk format of that image.")] = "raw",
    server: Annotated[
        list[int] | None,
        typer.Option(
            "--server-pid",
            metavar="PID",
            help="A process of the server of the store, which is stopped for a while (SIGSTOP).",
        ),
    ] = None,
    patience: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="How long a hook may take; by default 30 or 90.")
    ] = None,
    only: Annotated[str, typer.Option(metavar="TEXT", help="Try the clauses that contain this text.")] = "",
    json: Json = False,
) -> None:
    """Test an installed plugin against each clause of the contract, and print a verdict about each.

    Everything is written to temporary folders, and to the server that the options name: use one for tests. The exit
    code is 1 when a clause is not kept.
    """
    from imageport.testing import candidate_called

    candidate = candidate_called(
        name,
        options=_options(options) if options else {},
        image=str(Path(image).resolve()) if image else None,
        disk_format=disk_format,
        server=tuple(server or ()),
        patience=patience,
        only=only,
    )
    found = _as_json(candidate) if json else _as_text(candidate)
    if any(clause.verdict == "failed" for clause in found):
        raise typer.Exit(1)


def _options(file: str) -> dict[str, Any]:
    from imageport.configuration import YamlFile

    return dict(YamlFile.load(file).data)


def _as_json(candidate: Any) -> list[Clause]:
    from imageport.testing import certify as verdicts
    from imageport.testing import supplier

    found = list(verdicts(candidate))
    print_json(
        {
            "name": candidate.name,
            "distribution": supplier(candidate),
            "certified": not any(clause.verdict == "failed" for clause in found),
            "clauses": [clause.as_dict() for clause in found],
        }
    )
    return found


def _as_text(candidate: Any) -> list[Clause]:
    from imageport.testing import certify as verdicts
    from imageport.testing import supplier

    print_line(f"{candidate.name}, of {supplier(candidate)}")
    found: list[Clause] = []
    role = ""
    for clause in verdicts(candidate):
        found.append(clause)
        if clause.verdict == "not tried":
            continue
        if clause.role != role:
            role = clause.role
            print_line()
            print_line(f"{role}:")
        _show(clause)
    _show_not_tried(found)
    counts = Counter(clause.verdict for clause in found)
    print_line()
    verdict = "does not keep the contract" if counts["failed"] else "keeps the contract"
    print_line(
        f"{candidate.name} {verdict}: {counts['passed']} passed, {counts['failed']} failed, "
        f"{counts['not tried']} not tried"
    )
    return found


def _show(clause: Clause) -> None:
    about = f" [{clause.capability}]" if clause.capability else ""
    print_line(f"  {_MARKS[clause.verdict]}  {clause.clause}{about}")
    if clause.verdict == "failed":
        case = f" ({clause.case})" if clause.case else ""
        print_line(f"          {clause.reason}{case}")
        print_line(f"          hint: {clause.hint}")


def _show_not_tried(found: list[Clause]) -> None:
    """Print the clauses that were not tried, below their reasons."""
    reasons: dict[str, list[Clause]] = {}
    for clause in found:
        if clause.verdict == "not tried":
            reasons.setdefault(clause.reason, []).append(clause)
    if reasons:
        print_line()
        print_line("not tried:")
    for reason, clauses in reasons.items():
        print_line(f"  {reason}:")
        for clause in clauses:
            about = f" [{clause.capability}]" if clause.capability else ""
            print_line(f"    -     {clause.clause}{about}")
