"""Stream the one image out of an LHA archive."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from imageport import Chunks, ImageData, TransformFailed
from imageport_builtin.unpacking.isolation import decode_elsewhere
from imageport_builtin.unpacking.job import Job, as_file
from imageport_builtin.unpacking.lha_header import LhaEntry, read_entries
from imageport_builtin.unpacking.members import Member, only_image, printable

_FOLDER = "-lhd-"
#: -lh4- is -lh5- with a smaller dictionary, so one decoder reads both.
_DECODER = {"-lh0-": "-lh0-", "-lh4-": "-lh5-", "-lh5-": "-lh5-", "-lh6-": "-lh6-", "-lh7-": "-lh7-"}


def unpack_lha(data: ImageData, job: Job) -> Chunks:
    """Yield the bytes of the one file in the LHA archive *data*; length and CRC are checked at the end.

    Raises ``TransformFailed`` for anything but exactly one file with a known method.
    """
    with as_file(data, job.ctx) as path:
        entry = only_image("lha", _members(path), job.member).handle
        if entry.method not in _DECODER:
            raise TransformFailed(
                f"lha: {printable(entry.name)} is compressed with method {entry.method}, "
                "which cannot be read here",
                hint="pack the image with -lh5-, the default of every LHA program",
            )
        task = {"path": str(path), "decoder": _DECODER[entry.method], "entry": asdict(entry)}
        yield from decode_elsewhere("lha", task, job)


def _members(path: Path) -> Iterator[Member[LhaEntry]]:
    with path.open("rb") as file:
        for entry in read_entries(file):
            yield Member(entry.name, "folder" if entry.method == _FOLDER else "file", entry)
