"""Image data handed over by people: put in staging before an import, and taken out of a store after it."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from imageport.catalog import Catalog
from imageport.context import Context
from imageport.data import CHUNK_SIZE, Chunks, ImageData, write_sparse
from imageport.errors import Conflict, ImageportError, SourceUnavailable, UsageError, VerificationFailed
from imageport.importing.interruption import Interruption
from imageport.importing.staging import Staging
from imageport.upkeep.new_file import new_file
from imageport.values import ImageRecord


def stage(
    image_id: str, file: str, catalog: Catalog, staging: Staging, ctx: Context, *, interruption: Interruption
) -> int:
    """Put *file* (``-`` is standard input) in staging for an image, which becomes ``uploading``; return the bytes.

    Raises ``Conflict`` when the image has data already, or gets some meanwhile. After a failure it is queued again.
    """
    with staging.incoming(image_id) as incoming:
        # An uploading image without data is left over from a command that was killed.
        with catalog.changing_status(image_id, of=("queued", "uploading"), to="uploading"):
            if staging.staged(image_id):
                raise Conflict(
                    f"image {image_id} takes no data: data is staged already",
                    hint="import what is staged, or create another image",
                )
        try:
            with interruption.raising():
                count = incoming.write(ctx.capped(_pieces(file)))
            with catalog.changing_status(image_id, of=("uploading",), to="uploading"):
                incoming.keep()
        except BaseException:
            # An image that was deleted or imported meanwhile stays what it is.
            with (
                suppress(ImageportError),
                catalog.changing_status(image_id, of=("uploading",), to="queued"),
            ):
                pass
            raise
    return count


def export(
    record: ImageRecord,
    store: str,
    data: ImageData,
    target: Path,
    *,
    interruption: Interruption,
    overwrite: bool,
) -> None:
    """Write *data*, the copy of *record* in *store*, to the file *target*, which appears once every byte is verified.

    Zeros become holes. Raises ``Conflict`` when the file is there, ``VerificationFailed`` when the copy is damaged.
    """
    _refuse_existing(target, overwrite=overwrite)
    try:
        with new_file(target, overwrite=overwrite) as descriptor, interruption.raising():
            position = 0
            for piece in verified(record, store, data.chunks()):
                write_sparse(descriptor, piece, position)
                position += len(piece)
            os.ftruncate(descriptor, position)
            os.fsync(descriptor)
    except FileExistsError as error:
        raise _is_there(target) from error
    except OSError as error:
        raise UsageError(
            f"cannot write {target}: {error.strerror}", hint="check the folder, its permissions and its space"
        ) from error


def verified(record: ImageRecord, store: str, chunks: Chunks) -> Chunks:
    """Pass on *chunks*, the copy in *store*; raise ``VerificationFailed`` at their end unless they are *record*'s."""
    names = {"md5": record.checksum}
    if record.os_hash_algo:
        names[record.os_hash_algo] = record.os_hash_value
    digests = {name: hashlib.new(name, usedforsecurity=False) for name, value in names.items() if value}
    size = 0
    for piece in chunks:
        size += len(piece)
        for digest in digests.values():
            digest.update(piece)
        yield piece
    found: dict[str, object] = {
        "size": size,
        **{name: digest.hexdigest() for name, digest in digests.items()},
    }
    expected: dict[str, object] = {"size": record.size, **names}
    for name, value in found.items():
        if expected[name] is not None and value != expected[name]:
            raise VerificationFailed(
                f"the copy in store {store} is damaged: its {name} is {value}, the record says {expected[name]}",
                hint="export another copy with --store; then remove this one with "
                f"'imageport images delete {record.id} --store {store}', and copy the image anew",
            )


def _pieces(file: str) -> Chunks:
    """Read a file, a pipe, a device or standard input."""
    try:
        if file == "-":
            yield from _read(sys.stdin.buffer)
        elif stat.S_ISREG(Path(file).stat().st_mode):
            yield from ImageData.from_file(Path(file)).chunks()
        else:
            with Path(file).open("rb") as opened:
                yield from _read(opened)
    except OSError as error:
        raise SourceUnavailable(
            f"cannot read {file}: {error.strerror}", hint="name a file that this user may read, or -"
        ) from error


def _read(file: BinaryIO) -> Chunks:
    while piece := file.read(CHUNK_SIZE):
        yield piece


def _refuse_existing(target: Path, *, overwrite: bool) -> None:
    if target.exists() and not target.is_file():
        raise UsageError(f"{target} is no regular file", hint="name the file to write")
    if target.exists() and not overwrite:
        raise _is_there(target)


def _is_there(target: Path) -> Conflict:
    return Conflict(f"{target} is there already", hint="choose another name, or overwrite it with --force")
