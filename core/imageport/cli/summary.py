"""The end of ``run``, for people."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from urllib.parse import unquote, urlsplit

import typer

from imageport.app import Report, StoreReport
from imageport.cli.failure import show_error
from imageport.cli.output import print_fields, print_line
from imageport.errors import ImageportError
from imageport.limits import format_size
from imageport.redaction import redact
from imageport.text import printable
from imageport.values import ImageRecord


def show_success(report: Report, image: ImageRecord) -> None:
    """Print the imported image, its format, and the places of its copies."""
    written = {label: store for label, store in report.stores.items() if store.status != "skipped"}
    if not written:
        print_line(f"nothing to do: every store holds image {image.id} already")
        return
    print_line(f"imported {image.name or image.id}")
    print_fields(
        {
            "  image": image.id,
            "  format": _format(image),
            "  size": _size(image),
            "  md5": image.checksum,
            f"  {image.os_hash_algo}": image.os_hash_value,
            "  stores": list(_stores(written)),
            "  checks": [_check(check) for check in report.source.checks],
            "  took": _pace(report, image),
            "  slowest": _slowest(report),
            "  task": report.task_id,
            "  left behind": list(_left_behind(report)),
        }
    )


def show_failure(report: Report, error: ImageportError, retry: str | None, secrets: Collection[str]) -> None:
    """Print on standard error the error, the state of the copies, and the command that tries again."""
    show_error(error, secrets)
    for line in _aftermath(report, retry):
        typer.echo(f"  {printable(redact(line, secrets))}", err=True)


def _aftermath(report: Report, retry: str | None) -> Iterator[str]:
    if report.task_id is None:
        return
    for label, store in report.stores.items():
        if store.status != "skipped":
            yield f"store {label}: {store.status}{f' ({store.error})' if store.error else ''}"
    yield f"task: {report.task_id}"
    for line in _left_behind(report):
        yield f"left behind: {line}"
    if report.rolled_back:
        yield "rolled back: no copy and no scratch data of this import is left"
    elif not report.orphans:
        yield "not everything could be rolled back: see the log, then run 'imageport gc'"
    if retry:
        yield f"retry: {retry}"


def _left_behind(report: Report) -> Iterator[str]:
    if report.orphans:
        yield f"{', '.join(report.orphans)} ('imageport gc' tries again to remove them)"


def _check(check: Mapping[str, str]) -> str:
    signer = f", signed by {check['signer']}" if "signer" in check else ""
    return f"{check['name']}: {check['verdict']}{signer}"


def _format(image: ImageRecord) -> str:
    container = "" if image.container_format == "bare" else f" in {image.container_format}"
    return f"{image.disk_format or 'unknown'}{container}"


def _size(image: ImageRecord) -> str | None:
    if image.size is None:
        return None
    virtual = "" if image.virtual_size is None else f", virtual {format_size(image.virtual_size)}"
    return f"{format_size(image.size)} ({image.size} bytes){virtual}"


def _stores(stores: dict[str, StoreReport]) -> Iterator[str]:
    width = max(map(len, stores))
    for label, store in stores.items():
        if store.location:
            yield f"{label:{width}}  {readable_location(store.location)}  {store.seconds:.1f} s"
        else:
            yield f"{label:{width}}  {store.status}: {store.error or 'no reason given'}"


def readable_location(url: str) -> str:
    """Return the path of a file on this machine, and any other url as it is."""
    parts = urlsplit(url)
    return unquote(parts.path) if parts.scheme == "file" and not parts.netloc else url


def _pace(report: Report, image: ImageRecord) -> str:
    rate = (image.size or 0) / report.seconds if report.seconds else 0
    read = report.source.bytes_read
    return f"{report.seconds:.1f} s, {format_size(rate)}/s ({format_size(read)} read from the source)"


def _slowest(report: Report) -> str | None:
    """Name the slowest part: the source, a step, or a digest or store that the stream had to wait for."""
    seconds: dict[str, float] = {}
    for stage in report.stages:
        name = f"the source ({stage.step})" if stage.step == report.stages[0].step else f"step {stage.step}"
        seconds[name] = seconds.get(name, 0.0) + stage.seconds
    for label, waited in report.waited_for.items():
        kind = "store" if label in report.stores else "digest" if label in report.digests else "the"
        seconds[f"{kind} {label}"] = waited
    if not seconds:
        return None
    rest = report.seconds - sum(seconds.values())
    name, most = max([*seconds.items(), ("reading, publishing and records", rest)], key=lambda item: item[1])
    return f"{name}, {most:.1f} s of {report.seconds:.1f} s"
